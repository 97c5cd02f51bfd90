// Looks at the page of ../page.rs as people do who want to know why a check failed.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { fileURLToPath, pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");

const [executablePath, file] = process.argv.slice(2);
const url = pathToFileURL(file).href;
const json = (name) => fs.readFileSync(path.join(path.dirname(file), "ramp", name), "utf8");

/// What the recorder has seen last of a record, at a time of the page.
function recorded(pv, at) {
  const { started } = JSON.parse(json("result.json")).result;
  const lines = json("record/machine.jsonl").split("\n").filter((line) => line.endsWith("}")).map((line) => JSON.parse(line));
  const seen = lines.filter((line) => line.pv === pv && "value" in line && line.time - started <= at);
  return seen.at(-1)?.value;
}

async function main() {
  const browser = await chromium.launch({ executablePath });
  try {
    const context = await browser.newContext({ offline: true, colorScheme: "light", viewport: { width: 1280, height: 800 } });
    const page = await context.newPage();
    const wrong = [];
    page.on("request", (request) => { if (!request.url().startsWith(url)) wrong.push(`asks for ${request.url()}`); });
    page.on("console", (message) => wrong.push(message.text()));
    page.on("pageerror", (error) => wrong.push(String(error)));
    await page.goto(url);
    const ramp = page.locator("details.run[data-name=ramp]");
    await failureFirst(page, ramp);
    await picks(ramp);
    await timeLine(page, ramp);
    await journals(page, ramp);
    await sideBySide(ramp);
    await links(page, ramp);
    await looks(page);
    assert.deepEqual(wrong, [], "the page is silent and asks for nothing");
  } finally {
    await browser.close();
  }
}

async function failureFirst(page, ramp) {
  const open = (locator) => locator.evaluateAll((all) => all.filter((one) => one.open).map((one) => one.textContent.trim()));
  assert.deepEqual(await page.locator("details.run").evaluateAll((all) => all.map((one) => [one.dataset.name, one.open])),
    [["ramp", true], ["simple", false]]);
  assert.match(await ramp.locator(".failure").innerText(), /simulator.service/);
  const [journal, ...others] = await open(ramp.locator("details.text"));
  assert.match(journal, /^simulator\.service on machine/, "the unit that is to blame");
  assert.deepEqual(others, []);
  const names = await ramp.locator(".row.pv").evaluateAll((rows) => rows.map((row) => row.dataset.pv));
  assert.deepEqual(names.slice(0, 2), ["LEVEL", "TWICE"], "what the script names, then what went into alarm");
  // The table of executions.
  await page.keyboard.press("/");
  await page.keyboard.type("simp");
  assert.deepEqual(await page.locator(".runs tbody tr:visible").count(), 1);
  assert.equal(await ramp.isVisible(), false);
  await page.locator(".filter").fill("");
}

async function picks(ramp) {
  const drawn = () => ramp.locator(".row.pv:visible").evaluateAll((rows) => rows.map((row) => row.dataset.pv));
  const all = await drawn();
  await ramp.locator(".pvs").fill("twi");
  assert.deepEqual(await drawn(), ["TWICE"]);
  await ramp.locator(".pvs").fill("");
  await ramp.locator(".timetools summary").click();
  await ramp.getByLabel("LEVEL", { exact: true }).uncheck();
  assert.deepEqual(await drawn(), all.filter((name) => name !== "LEVEL"));
  await ramp.getByLabel("LEVEL", { exact: true }).check();
  await ramp.locator(".timetools summary").click();
  assert.deepEqual(await drawn(), all);
}

async function timeLine(page, ramp) {
  const figure = ramp.locator(".figure");
  const now = () => figure.locator(".now").innerText();
  const shown = async (pv) => (await figure.locator(`.row[data-pv=${pv}] output`).innerText()).trim();
  await figure.focus();
  // The last change is not one of ours.
  await page.keyboard.press("ArrowLeft");
  assert.match(await now(), /^\d+\.\d{3} s$/);
  const seen = new Set();
  // Some changes are of the same millisecond; at the begin the time stays.
  for (let still = 0, before; !seen.has(0) && still < 20; ) {
    const at = parseFloat(await now());
    still = at === before ? still + 1 : 0;
    before = at;
    const value = parseFloat(await shown("LEVEL"));
    // The time is shown to the millisecond.
    assert.ok([at - 1e-3, at + 1e-3].some((near) => recorded("LEVEL", near) === value), `${value} at ${at}`);
    seen.add(value);
    if (value === 42 && /MINOR/.test(await shown("TWICE"))) seen.add("alarm");
    await page.keyboard.press("ArrowLeft");
  }
  assert.deepEqual(seen, new Set([42, "alarm", 12, 7, 0]));
  // Zoom and pan, the same for all rows.
  const parts = () => figure.locator(".inner").evaluateAll((all) => [...new Set(all.map((one) => `${one.style.left} ${one.style.width}`))]);
  assert.deepEqual(await parts(), ["0% 100%"]);
  await page.keyboard.press("+");
  const [zoomed, ...others] = await parts();
  assert.match(zoomed, / 200%$/);
  assert.deepEqual(others, []);
  for (let step = 0; step < 5; step++) await page.keyboard.press("<");
  assert.deepEqual(await parts(), ["0% 200%"], "the begin");
  await page.keyboard.press(">");
  assert.deepEqual(await parts(), ["-25% 200%"]);
  assert.equal(await figure.locator(".axis .tick").first().innerText() !== "0 s", true, "the scale goes along");
  await page.keyboard.press("0");
  assert.deepEqual(await parts(), ["0% 100%"]);
  // The time stays in view however far one scrolls.
  await page.setViewportSize({ width: 1280, height: 300 });
  await figure.locator(".row.pv").last().scrollIntoViewIfNeeded();
  const box = await figure.locator(".now").boundingBox();
  assert.ok(box.y >= 0 && box.y + box.height <= 300, `the time is at ${box.y}`);
  await page.setViewportSize({ width: 1280, height: 800 });
}

async function journals(page, ramp) {
  const figure = ramp.locator(".figure");
  const now = async () => parseFloat(await figure.locator(".now").innerText());
  await figure.focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  const at = await now();
  const journal = ramp.locator("details.text[open] pre");
  const times = (await journal.innerText()).split("\n").filter((line) => line).map((line) => parseFloat(line));
  const marked = parseFloat(await journal.locator(".moment").innerText());
  assert.equal(marked, times.filter((time) => time <= at).at(-1), `the last line before ${at}`);
  assert.ok(times.at(-1) > at, "the simulator was stopped later");
  // And back, from another line.
  await journal.evaluate((pre) => {
    const text = [...pre.childNodes].at(-1);
    const range = document.createRange();
    range.setStart(text, text.data.lastIndexOf("Stopped"));
    range.collapse(true);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    pre.dispatchEvent(new MouseEvent("dblclick"));
  });
  assert.equal(await now(), times.at(-1));
  await page.keyboard.press("/");
  await ramp.locator(".find").fill("listening");
  await page.waitForFunction(() => document.querySelector(".run .text[open] mark")?.textContent === "listening");
  await ramp.locator(".find").fill("");
  await page.waitForFunction(() => !document.querySelector(".run .text mark"));
}

async function sideBySide(ramp) {
  const [head, first] = await ramp.locator(".against tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim())));
  assert.deepEqual(head, ["What differs first", "Here", "In the pass"]);
  assert.deepEqual([first[0], first[1].split(" at ")[0].trim(), first[2]], ["LEVEL", "42 V", "no further change"]);
}

async function links(page, ramp) {
  await ramp.locator(".files summary").click();
  const all = await page.locator("a").evaluateAll((links) => links.map((link) => [link.getAttribute("href"), link.href, link.textContent]));
  const own = all.filter(([href]) => !href.startsWith("#") && !href.startsWith("data:"));
  for (const [href, absolute] of own) {
    assert.doesNotMatch(href, /^(\/|[a-z]+:)/, "it survives a move");
    assert.ok(fs.statSync(fileURLToPath(absolute)).isFile());
  }
  assert.ok(own.some(([href]) => href === "ramp/out/left/large"));
  const copies = all.filter(([href]) => href.startsWith("data:")).map(([href]) => Buffer.from(href.split(",")[1], "base64").toString());
  assert.ok(copies.includes("a voltage\n"), "small files are in the page");
  const [down] = await Promise.all([page.waitForEvent("download"), ramp.locator("a[download=small]").click()]);
  assert.equal(fs.readFileSync(await down.path(), "utf8"), "a voltage\n");
}

async function looks(page) {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number)[0]);
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
  await page.evaluate(fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    assert.equal(await ground() > 128, colorScheme === "light", colorScheme);
    const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], colorScheme);
    assert.ok(passes.some(({ id }) => id === "color-contrast"));
  }
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    // Nothing sticks out, the cursor included.
    await page.waitForFunction((most) => document.documentElement.scrollWidth <= most, width);
  }
  // On paper it is light, whatever the screen is, has what is coloured, and nothing to press.
  await page.emulateMedia({ media: "print" });
  assert.equal(await page.locator("input:visible, button:visible").count(), 0);
  const card = await page.locator(".card").first().evaluate((card) => [getComputedStyle(card).backgroundColor, getComputedStyle(card).printColorAdjust]);
  assert.deepEqual(card, ["rgb(255, 255, 255)", "exact"]);
}

main().catch((error) => { console.error(error); process.exitCode = 1; });
