// Files that are dropped on the page or pasted into it.

/** Give every dropped or pasted batch of files to `open(files)`; `stage` shows that a drop is welcome. */
export function listenToFiles(stage, open) {
  document.addEventListener("paste", ({ clipboardData, target }) => {
    const files = [...clipboardData.files];
    if (files.length && !document.querySelector("dialog[open]") && !target.matches?.("input, textarea")) open(files);
  });
  let over = 0; // how many elements a dragged file is over: enter and leave come in pairs
  const carriesFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  const dragged = (count) => stage.classList.toggle("dropping", (over = Math.max(0, count)) > 0);
  addEventListener("dragenter", (event) => carriesFiles(event) && dragged(over + 1));
  addEventListener("dragleave", (event) => carriesFiles(event) && dragged(over - 1));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    dragged(0);
    open([...event.dataTransfer.files]);
  });
}
