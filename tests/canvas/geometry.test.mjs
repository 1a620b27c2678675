// The canvas's geometry on the cases of geometry.json, and its rules without a browser. `pytest tests/canvas` runs it:
// CANVAS_MODULE is the module as the notebook gets it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const canvas = await import(process.env.CANVAS_MODULE);
const cases = JSON.parse(readFileSync(new URL("geometry.json", import.meta.url), "utf-8"));
const near = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-9, `${found} is not ${expected}`);
const allNear = (found, expected) => {
  assert.equal(found.length, expected.length);
  found.forEach((value, at) => near(value, expected[at]));
};
const sized = ([width, height]) => ({ width, height });

function bitmapOfRows(rows) {
  const [width, height] = [rows[0].length, rows.length];
  const set = (at) => rows[at % height][Math.floor(at / height)] === "#";
  return Uint8Array.from({ length: width * height }, (_, at) => Number(set(at)));
}

for (const { given, written, ...rest } of cases.regions) {
  test(`region ${JSON.stringify(given)}`, () => {
    if (written === null) return assert.throws(() => canvas.checkedRegion(given), TypeError);
    const region = canvas.checkedRegion(given);
    assert.deepEqual(region, written);
    assert.deepEqual(canvas.checkedRegion(region), region);
    allNear(canvas.bounds(region), rest.bounds);
    if (rest.area !== null) near(canvas.area(region), rest.area);
    for (const place of rest.inside) assert.ok(canvas.contains(region, place), `${place} is inside`);
    for (const place of rest.outside) assert.ok(!canvas.contains(region, place), `${place} is outside`);
  });
}

for (const { corners, region } of cases.boxes) {
  test(`box between ${JSON.stringify(corners)}`, () => assert.deepEqual(canvas.boxFromCorners(...corners), region));
}

for (const { corners, region } of cases.polygons) {
  test(`polygon of ${JSON.stringify(corners)}`, () => assert.deepEqual(canvas.polygonFromCorners(corners), region));
}

for (const { size_wh, view, host, picture } of cases.frames) {
  test(`frame of ${size_wh} at ${host}`, () => {
    allNear(canvas.toPicture(host, view, sized(size_wh)), picture);
    allNear(canvas.toHost(canvas.toPicture(host, view, sized(size_wh)), view, sized(size_wh)), host);
  });
}

for (const { path, tolerance, kept } of cases.simplified) {
  test(`path of ${path.length} within ${tolerance}`, () => assert.deepEqual(canvas.simplified(path, tolerance), kept));
}

for (const { rows, counts } of cases.masks) {
  test(`mask ${rows.join(" ")}`, () => {
    assert.deepEqual(canvas.runsOf(bitmapOfRows(rows)), counts);
    assert.deepEqual(canvas.bitmapOf({ counts, size_wh: [rows[0].length, rows.length] }), bitmapOfRows(rows));
  });
}

for (const { size_wh, grid_wh, from, to, radius, rows } of cases.strokes) {
  test(`stroke from ${from} to ${to}`, () => {
    const bitmap = new Uint8Array(grid_wh[0] * grid_wh[1]);
    const painted = rows.some((row) => row.includes("#"));
    const paint = (value) => canvas.setPixels(bitmap, grid_wh, from, to, radius, sized(size_wh), value);
    assert.equal(paint(1), painted);
    assert.deepEqual(bitmap, bitmapOfRows(rows));
    assert.equal(paint(1), false); // it is painted already
    assert.equal(paint(0), painted);
    assert.ok(!bitmap.includes(1));
  });
}

for (const { region, by, moved } of cases.moved) {
  test(`${JSON.stringify(region)} moved by ${by}`, () => assert.deepEqual(canvas.moved(region, by), moved));
}

for (const { region, handle, to, bent } of cases.bent) {
  test(`${JSON.stringify(region)} with handle ${handle} at ${to}`, () => {
    assert.deepEqual(canvas.withHandle(region, handle, to), bent);
  });
}

test("an outline keeps few corners, and its form", () => {
  const ring = Array.from({ length: 5000 }, (_, at) => {
    const turn = (at / 5000) * 2 * Math.PI;
    const wobble = 200 + 3 * Math.sin(90 * turn);
    return [300 + wobble * Math.cos(turn), 300 + wobble * Math.sin(turn)];
  });
  assert.ok(canvas.simplifiedRing(ring, 0.1, 400).length <= 400);
  const few = canvas.simplifiedRing(ring, 1.2, 100);
  assert.ok(few.length <= 100 && few.length > 10);
  for (const place of ring.filter((_, at) => at % 50 === 0)) {
    const away = Math.min(...canvas.steps(few, true).map(([a, b]) => canvas.distanceToStep(place, a, b)));
    assert.ok(away < 8);
  }
});

test("the outline of a mask goes around its area once", () => {
  for (const { rows, counts } of cases.masks) {
    const size_wh = [rows[0].length, rows.length];
    const lines = canvas.maskOutline({ counts, size_wh });
    const ends = lines.flatMap(([x1, y1, x2, y2]) => [`${x1} ${y1}`, `${x2} ${y2}`]);
    const at = (x, y) => rows[y]?.[x] === "#";
    let between = 0;
    for (let x = -1; x <= size_wh[0]; x += 1) {
      for (let y = -1; y <= size_wh[1]; y += 1) between += (at(x, y) !== at(x + 1, y)) + (at(x, y) !== at(x, y + 1));
    }
    assert.equal(lines.length, between);
    assert.equal(ends.length, 2 * new Set(ends).size); // every end is the end of two lines
  }
});

test("a mask's grid is the picture's, or smaller", () => {
  assert.deepEqual(canvas.maskSize({ width: 300, height: 200 }), [300, 200]);
  assert.deepEqual(canvas.maskSize({ width: 6000, height: 4000 }), [512, 341]);
  assert.deepEqual(canvas.maskSize({ width: 65535, height: 1 }), [512, 1]);
});

// ---- the list of regions

const BOX = { box: [0.1, 0.1, 0.4, 0.4] };

test("regions are numbered on, ids are never given twice, colours follow the numbers", () => {
  const list = new canvas.RegionList();
  assert.equal(list.add({ region: BOX }), "r1");
  assert.equal(list.add({ region: BOX, name: "cup" }), "r2");
  list.remove("r2");
  assert.equal(list.add({ region: BOX, number: 9 }), "r3");
  assert.deepEqual(list.entries.map(({ number }) => number), [1, 9]);
  assert.equal(list.find("r3").colour, canvas.COLOURS[(9 - 1) % canvas.COLOURS.length]);
  list.undo();
  assert.equal(list.add({ region: BOX }), "r4");
  assert.equal(list.find("r4").number, 2);
});

test("a list refuses what it cannot hold and stays as it was", () => {
  const list = new canvas.RegionList();
  list.add({ id: "a", region: BOX });
  assert.throws(() => list.add({ id: "a", region: BOX }), RangeError);
  assert.throws(() => list.add({ region: { box: [0.4, 0.1, 0.1, 0.4] } }), TypeError);
  assert.throws(() => list.add({ region: BOX, colour: "red" }), TypeError);
  assert.throws(() => list.change("b", { name: "x" }), RangeError);
  assert.throws(() => list.change("a", { region: {} }), TypeError);
  assert.throws(() => list.remove("b"), RangeError);
  assert.throws(() => list.replace([{ id: "x", region: BOX }, { id: "x", region: BOX }]), RangeError);
  assert.deepEqual(list.entries.map(({ id }) => id), ["a"]);
  assert.throws(() => (list.entries[0].region.box[0] = 0.3), TypeError); // frozen
});

test("undo and redo go through every step; a new step ends what could be done again", () => {
  const list = new canvas.RegionList();
  list.reset([{ region: BOX }]);
  assert.equal(list.canUndo, false);
  assert.equal(list.undo(), false);
  list.change("r1", { name: "cup" });
  list.change("r1", { region: { point: [0.5, 0.5] } });
  list.remove("r1");
  const names = () => list.entries.map(({ name, region }) => `${name} ${canvas.formOf(region)}`);
  const seen = [names()];
  while (list.undo()) seen.push(names());
  assert.deepEqual(seen, [[], ["cup point"], ["cup box"], [" box"]]);
  while (list.redo());
  assert.deepEqual(names(), []);
  list.undo();
  list.add({ region: BOX });
  assert.equal(list.canRedo, false);
});

test("steps of one held key are one step", () => {
  const list = new canvas.RegionList();
  list.add({ region: BOX });
  for (const x of [0.2, 0.21, 0.22]) list.change("r1", { region: { point: [x, 0.5] } }, "nudge");
  list.undo();
  assert.deepEqual(list.find("r1").region, BOX);
  list.redo();
  assert.deepEqual(list.find("r1").region, { point: [0.22, 0.5] });
});

// ---- the view

test("the whole picture stays whole, and a zoomed one keeps its middle, when the host gets another size", () => {
  const view = new canvas.View();
  view.resize(624, 424);
  view.show({ width: 1200, height: 800 });
  assert.equal(view.scale, 0.5);
  allNear(view.toHost([0, 0]), [12, 12]);
  view.resize(324, 1000);
  allNear(view.toHost([0.5, 0.5]), [162, 500]);
  view.zoomBy(4, [162, 500]);
  const middle = view.toPicture([162, 500]);
  view.resize(500, 300);
  allNear(view.toPicture([250, 150]), middle);
});

test("a zoom keeps the place under the pointer, within limits, and the picture in sight", () => {
  const view = new canvas.View();
  view.resize(600, 400);
  view.show({ width: 6000, height: 4000 });
  const place = view.toPicture([200, 150]);
  view.zoomBy(3, [200, 150]);
  allNear(view.toPicture([200, 150]), place);
  view.zoomBy(1e9, [200, 150]);
  assert.equal(view.scale, 40);
  view.panBy(1e9, -1e9);
  const [x, y] = view.toPicture([300, 200]);
  assert.ok(x >= 0 && x <= 1 && y >= 0 && y <= 1);
  view.zoomBy(1e-9);
  assert.ok(view.fitted);
  allNear(view.toPicture([300, 200]), [0.5, 0.5]);
  view.zoomBy(NaN);
  assert.ok(view.scale > 0);
});

test("without a picture, or in a host without a size, nothing breaks", () => {
  const view = new canvas.View();
  view.zoomBy(2);
  view.panBy(5, 5);
  view.resize(0, 0);
  view.show({ width: 10, height: 10 });
  assert.ok(view.scale > 0);
  view.resize(400, 400);
  assert.equal(view.scale, 8);
});

test("regions are described for who cannot see them", () => {
  const entry = (region, name = "") => ({ number: 2, name, region });
  assert.equal(canvas.described(entry({ point: [0.125, 1] })), "Point 2, at 13 % 100 %");
  assert.equal(canvas.described(entry(BOX, "cup")), "Box 2, cup, from 10 % 10 % to 40 % 40 %");
  const mask = { mask: { counts: [0, 2, 3, 4, 3], size_wh: [4, 3] } };
  assert.equal(canvas.described(entry(mask)), "Mask 2, 50 % of the picture, from 0 % 0 % to 75 % 100 %");
});

test("ink is read on every colour", () => {
  assert.equal(canvas.inkOn("#ffffff"), "#101216");
  assert.equal(canvas.inkOn("#0072b2"), "#ffffff");
});
