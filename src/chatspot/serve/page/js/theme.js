// The colours that the user chose, set before anything is drawn. A classic script: modules run too late for that.

"use strict";

try {
  document.documentElement.dataset.theme = localStorage.getItem("chatspot.theme") ?? "auto";
} catch {
  document.documentElement.dataset.theme = "auto"; // a browser that keeps nothing
}
