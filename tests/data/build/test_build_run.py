"""Whole builds: what is missing, leaks, the same bytes for any number of workers, going on after kill -9."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from build_pictures import folder_of, scene
from PIL import Image

from chatspot.data.build.config import BuildConfig, parse_config
from chatspot.data.build.run import WORK, build
from chatspot.data.shards import MANIFEST, read_entries, read_manifest, read_shards
from chatspot.errors import DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: 150 pictures of one source, 20 of another, 10 to measure on."""
    folder = tmp_path_factory.mktemp("data")
    folder_of(folder / "one", range(150))
    folder_of(folder / "two", range(200, 220), licence="CC0")
    folder_of(folder / "measured", range(300, 310), coco_id=7)
    return folder


def config(*sources: dict[str, Any], **changes: Any) -> BuildConfig:
    """A mixture of the folders ``one`` and ``two``, or of ``sources``, changed."""
    both = sources or ({"folder": "one", "stages": ["align", "instruct"]}, {"folder": "two"})
    listed = [{"name": "region_lines", **source} for source in both]
    guarded = [{"name": "region_lines", "folder": "measured"}]
    return parse_config({"name": "t", "sources": listed, "evaluation": guarded, "shard_pictures": 40, **changes}, "t")


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a build, by name."""
    return {
        f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir()) if f.name != WORK + ".lock"
    }


def test_what_a_build_holds(data: Path, tmp_path: Path) -> None:
    manifest = build(config(), tmp_path / "out", [data])
    assert [(s.file, s.stage, s.pictures) for s in manifest.shards] == [
        ("align-00000.tar", "align", 40), ("align-00001.tar", "align", 40), ("align-00002.tar", "align", 40),
        ("align-00003.tar", "align", 30), ("instruct-00000.tar", "instruct", 40),
        ("instruct-00001.tar", "instruct", 40), ("instruct-00002.tar", "instruct", 40),
        ("instruct-00003.tar", "instruct", 40), ("instruct-00004.tar", "instruct", 10),
    ]  # fmt: skip
    for shard in manifest.shards:
        file = tmp_path / "out" / shard.file
        assert hashlib.sha256(file.read_bytes()).hexdigest() == shard.sha256
        assert file.stat().st_size == shard.bytes
    samples = list(read_shards(tmp_path / "out"))
    facts = manifest.facts
    assert facts["totals"] == {"pictures": 320, "samples": len(samples)}
    assert sum(count["samples"] for count in facts["counts"]) == len(samples)
    one, two = facts["sources"]
    assert (one["name"], one["read"], one["pictures"], one["rejected"]) == ("one", 150, 300, {})
    assert two["licences"] == {"CC0": 20}
    assert facts["guard"]["pictures"] == 10
    entries = list(read_entries(tmp_path / "out", stage="instruct"))
    assert sorted(e.facts["id"] for e in entries if e.facts["source"] == "two") == [f"two/{n}" for n in range(200, 220)]
    by_name = {e.facts["images"][0]["name"]: e.images[0] for e in entries}
    assert by_name["203.jpg"] == (data / "two" / "images" / "203.jpg").read_bytes()
    assert not (tmp_path / "out" / WORK).exists()


def test_the_bytes_do_not_depend_on_workers_and_folders(data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(data, elsewhere)
    build(config(), tmp_path / "a", [data], workers=1)
    build(config(), tmp_path / "b", [elsewhere], workers=2)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_another_seed_gives_other_bytes(data: Path, tmp_path: Path) -> None:
    shards = [build(config(seed=seed), tmp_path / str(seed), [data]).shards[0].sha256 for seed in (0, 1)]
    assert shards[0] != shards[1]


@pytest.mark.parametrize(
    ("source", "pictures"),
    [({"limit": 7}, 7), ({"limit": 999}, 150), ({"weight": 2}, 300), ({"weight": 2, "limit": 7}, 14)],
)
def test_limits_and_weights(data: Path, tmp_path: Path, source: dict[str, Any], pictures: int) -> None:
    manifest = build(config({"folder": "one", **source}), tmp_path / "out", [data])
    assert manifest.facts["totals"]["pictures"] == pictures
    ids = [sample.id for sample in read_shards(tmp_path / "out")]
    assert len(ids) == len(set(ids))


def test_a_source_listed_again_is_asked_anew(data: Path, tmp_path: Path) -> None:
    """Under ids of its own; what was listed first stays as it is."""
    listed = {"folder": "two"}
    build(config(listed), tmp_path / "once", [data])
    build(config(listed, listed, {**listed, "weight": 2}), tmp_path / "more", [data])
    first = {sample.id: sample.conversation for sample in read_shards(tmp_path / "once")}
    more = [(sample.id, sample.conversation) for sample in read_shards(tmp_path / "more")]
    assert len({name for name, _ in more}) == len(more)
    assert {name.partition("@")[2] for name, _ in more} == {"", "1.0", "2.0", "2.1"}
    assert {name: said for name, said in more if "@" not in name} == first
    again = {name.removesuffix("@1.0"): said for name, said in more if name.endswith("@1.0")}
    assert {name.partition("#")[0] for name in again} == {name.partition("#")[0] for name in first}
    assert sum(first.get(name) == said for name, said in again.items()) < len(again) / 2


def test_a_fraction_of_a_source(data: Path, tmp_path: Path) -> None:
    facts = build(config({"folder": "one", "weight": 0.5}), tmp_path / "out", [data]).facts["sources"][0]
    assert 50 < facts["pictures"] < 100
    assert facts["rejected"] == {"not drawn": 150 - facts["pictures"]}


@pytest.mark.parametrize("how", ["the file", "stored again", "the id"])
def test_a_planted_evaluation_picture_fails_the_build(data: Path, tmp_path: Path, how: str) -> None:
    planted = folder_of(tmp_path / "planted", range(400, 405), **({"coco_id": 7} if how == "the id" else {}))
    target = planted / "images" / "402.jpg"
    if how == "the file":
        shutil.copy(data / "measured" / "images" / "303.jpg", target)
    elif how == "stored again":
        scene(303).resize((192, 128)).resize((96, 64)).save(target, quality=60)
    with pytest.raises(DataError, match=r"planted/40\d is measured/30\d .*--drop-leaks"):
        build(config({"folder": "planted"}), tmp_path / "out", [data, tmp_path])
    assert not (tmp_path / "out" / MANIFEST).exists()
    folder_of(tmp_path / "more", [500])
    sources = ({"folder": "planted"}, {"folder": "more"})
    facts = build(config(*sources), tmp_path / "out", [data, tmp_path], drop_leaks=True).facts
    leaks = 5 if how == "the id" else 1
    assert facts["sources"][0]["rejected"] == {"leak": leaks}
    assert len(facts["guard"]["dropped"]) == leaks
    assert facts["totals"]["pictures"] == 6 - leaks


def test_pictures_that_cannot_be_used_are_counted(data: Path, tmp_path: Path) -> None:
    bad = folder_of(tmp_path / "bad", range(600, 606))
    images = bad / "images"
    images.joinpath("600.jpg").unlink()
    images.joinpath("601.jpg").write_bytes(b"no picture")
    whole = images.joinpath("602.jpg").read_bytes()
    images.joinpath("602.jpg").write_bytes(whole[: len(whole) // 2])  # its header reads
    images.joinpath("603.jpg").write_bytes(images.joinpath("604.jpg").read_bytes())  # a duplicate
    facts = build(config({"folder": "bad"}), tmp_path / "out", [data, tmp_path]).facts["sources"][0]
    assert (facts["read"], facts["pictures"]) == (4, 2)
    assert facts["faults"] == {"missing picture": 1, "corrupt picture": 2}
    assert facts["rejected"] == {"corrupt picture": 1, "duplicate": 1}


def test_the_ending_is_that_of_the_file_as_it_is(data: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "named", [700])
    file = io.BytesIO()
    scene(700).save(file, "PNG")
    (folder / "images" / "700.jpg").write_bytes(file.getvalue())  # OCR-VQA has such files
    build(config({"folder": "named"}), tmp_path / "out", [data, tmp_path])
    (entry,) = read_entries(tmp_path / "out")
    assert entry.facts["images"][0]["file"] == "png"
    assert Image.open(io.BytesIO(entry.images[0])).format == "PNG"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"name": "region_line"}, "did you mean region_lines"),
        ({"folder": "none"}, "is in none of the data folders"),
        ({"split": "train"}, "has no split 'train'"),
        ({"name": "coco_val"}, "coco_val"),
        ({"regionchat": "none"}, "is in none of the data folders"),
    ],
)
def test_sources_that_are_not_there(data: Path, tmp_path: Path, source: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        build(config({"folder": "one", **source}), tmp_path / "out", [data])


def test_nothing_to_train_on(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing is left.*'no dialogue': 150"):
        build(config({"folder": "one", "dialogues": {"tasks": {}}}), tmp_path / "out", [data])


@pytest.mark.parametrize(("arguments", "says"), [({"workers": 0}, "at least one"), ({"engine": "x"}, "engines are")])
def test_engines_that_are_not_there(data: Path, tmp_path: Path, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        build(config(), tmp_path / "out", [data], **arguments)


def test_a_finished_build_is_kept_and_another_is_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = build(config({"folder": "two"}), out, [data])
    before = (out / MANIFEST).stat().st_mtime_ns
    assert build(config({"folder": "two"}), out, [data]) == first
    assert (out / MANIFEST).stat().st_mtime_ns == before
    with pytest.raises(DataError, match="another configuration"):
        build(config({"folder": "one"}), out, [data])
    (out / first.shards[0].file).unlink()
    with pytest.raises(DataError, match="is missing or was changed"):
        build(config({"folder": "two"}), out, [data])


def test_dialogues_of_a_regionchat_run_are_added(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "chat"
    run.mkdir()
    talk = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Well?"}]},
        {"role": "assistant", "content": "A scene."},
    ]
    line = {
        "id": "two/203#chat.detail.0",
        "source": "two",
        "task": "dialogue",
        "images": ["x.jpg"],
        "conversation": talk,
    }
    (run / "samples.jsonl").write_text(json.dumps(line) + "\n")
    source = {"folder": "two", "regionchat": "chat", "dialogues": {"tasks": {}}}
    build(config(source), tmp_path / "out", [data, tmp_path])
    (sample,) = read_shards(tmp_path / "out")
    assert (sample.id, sample.task, sample.stage) == ("two/203#chat.detail.0", "dialogue", "instruct")
    assert sample.images == ((data / "two" / "images" / "203.jpg").read_bytes(),)


RUN = """
import sys
from pathlib import Path
from chatspot.data.build.config import load_config
from chatspot.data.build.run import build
if __name__ == "__main__":
    config, out, data, workers, engine = sys.argv[1:]
    build(load_config(Path(config)), Path(out), [Path(data)], workers=int(workers), engine=engine)
"""


def started(script: Path, settings: BuildConfig, out: Path, data: Path, workers: int, engine: str = "local") -> Any:
    """The build as a process of its own, which leads a group of processes."""
    script.write_text(RUN)
    file = script.with_suffix(".yaml")
    file.write_text(settings.model_dump_json())
    arguments = [sys.executable, str(script), str(file), str(out), str(data), str(workers), engine]
    return subprocess.Popen(arguments, start_new_session=True, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("until", ["made-00000.pkl", "align-00000.json"])
def test_a_killed_build_goes_on_where_it_stopped(data: Path, tmp_path: Path, until: str) -> None:
    build(config(), tmp_path / "whole", [data])
    out = tmp_path / "killed"
    process = started(tmp_path / "run.py", config(), out, data, workers=2)
    deadline = time.monotonic() + 120
    while not list(out.glob(f"{WORK}/*/*/{until}")):
        assert time.monotonic() < deadline
        if process.poll() is not None:  # it was faster than we looked
            assert process.returncode == 0, process.stderr.read()
            break
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    time.sleep(1)  # its workers leave with it
    kept = {f: f.stat().st_mtime_ns for f in out.glob(f"{WORK}/*/*/made-*.pkl")}
    shards = {f: f.stat().st_mtime_ns for f in out.glob("*.tar") if list(out.glob(f"{WORK}/*/plan/{f.stem}.json"))}
    build(config(), out, [data])
    assert {f: f.stat().st_mtime_ns for f in shards} == shards
    assert hashes(out) == hashes(tmp_path / "whole")
    assert kept or (out / MANIFEST).exists()


def test_two_builds_of_one_folder_are_refused(data: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / f"{WORK}.lock"), pytest.raises(DataError, match="is being built by another"):
        build(config(), tmp_path / "out", [data])


@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'chatspot[ray]'")
def test_a_ray_cluster_of_two_nodes_builds_the_same(data: Path, tmp_path: Path) -> None:
    settings = config({"folder": "two"}, shard_pictures=5)
    build(settings, tmp_path / "local", [data])
    script = tmp_path / "cluster.py"
    script.write_text(
        "import os\n"
        "from ray.cluster_utils import Cluster\n"
        'if __name__ == "__main__":\n'
        "    cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1})\n"
        "    cluster.add_node(num_cpus=1)\n"
        "    cluster.wait_for_nodes()\n"
        "    os.environ['RAY_ADDRESS'] = cluster.address\n"
        f"    exec(compile({RUN!r}, 'run', 'exec'))\n"
        "    import ray\n"
        "    assert len([n for n in ray.nodes() if n['Alive']]) == 2, ray.nodes()\n"
        "    ray.shutdown()\n"
        "    cluster.shutdown()\n"
    )
    file = tmp_path / "c.yaml"
    file.write_text(settings.model_dump_json())
    arguments = [sys.executable, str(script), str(file), str(tmp_path / "ray"), str(data), "2", "ray"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "local")
    assert read_manifest(tmp_path / "ray").facts["totals"]["pictures"] == 20
