// From pictures to a labelled picture, in a real browser. Usage: walk.mjs BASE_URL DIRECTORY FOLDER
// Drops the folder's pictures as the .zip that the page makes of a folder, sees what would be chosen, trains for a minute, and asks for the server to be started anew in the middle of that by a
// file "restart" in DIRECTORY, which is gone when it is done. Prints what it saw as one JSON object.
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";

const require = createRequire(join(process.env.MALIANG_TEST_NODE_MODULES ?? ".", "anchor.js"));
const { chromium } = require("playwright-core");

const [url, directory, folder] = process.argv.slice(2);
const names = readdirSync(folder).sort();
const seen = { errors: [] };
/** While the server is away what the page tries must fail. */
let away = false;
const fault = (text) => away || seen.errors.push(text);
const browser = await chromium.launch({
  executablePath: process.env.MALIANG_TEST_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"],
});
const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, locale: "en-US", acceptDownloads: true });
const page = await context.newPage();
page.setDefaultTimeout(60000);
page.on("pageerror", (error) => fault(String(error)));
page.on("console", (message) => message.type() === "error" && fault(message.text()));
page.on("requestfailed", (request) => /events$/.test(request.url()) || fault(`${request.url()}: ${request.failure().errorText}`));
const shot = (name) => page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
const nav = (name) => page.locator("nav a", { hasText: new RegExp(`^${name}$`) }).click();
const gallery = page.locator("#main > div > .gallery").first();

/** Drops files onto the view, packed into one of the name `zip` where there is one. */
async function drop(files, zip) {
  const list = files.map((file) => [basename(file), readFileSync(file).toString("base64")]);
  const transfer = await page.evaluateHandle(async ([list, zip]) => {
    const transfer = new DataTransfer();
    let files = list.map(([name, bytes]) => new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name));
    if (zip) {
      const { zipped } = await import("/studio/zip.js");
      files = [new File([await zipped(files.map((file) => [file.name, file]))], zip)];
    }
    for (const file of files) transfer.items.add(file);
    return transfer;
  }, [list, zip]);
  await page.dispatchEvent("#main > div", "drop", { dataTransfer: transfer });
}

// Nothing is there yet: the ways to something.
await page.goto(url);
await page.locator(".empty .row").waitFor();
seen["ways from nothing"] = await page.locator(".empty .row > *").allTextContents();
await shot("empty");

// Drop a zip; see what it holds and what would be chosen.
await page.goto(`${url}#/new`);
await page.locator("[name=source]").waitFor();
await drop(names.map((name) => join(folder, name)), "drawn.zip");
await page.waitForFunction(() => document.querySelector("[name=source]")?.value === "drawn.zip");
await page.locator("dt", { hasText: "Pictures that can be used" }).waitFor();
await page.selectOption("[name=side]", "32");
await page.selectOption("[name=family]", "dcgan");
await page.locator("[name=minutes]").fill("0");
await page.waitForFunction(() => /dcgan 32x32/.test(document.querySelector("section:not([aria-busy]) > .plan")?.textContent));
seen.plan = await page.locator(".plan").textContent();
await shot("plan");

// Train for a minute and watch the grids; in the middle the server goes away and comes back.
await page.locator("button.main").click();
await page.locator(".jobs a").click();
await page.locator("img.sheet").waitFor();
const looks = () => page.locator("main input[type=range]").first().getAttribute("max").then(Number);
const early = await looks();
away = true;
writeFileSync(join(directory, "restart"), "");
while (existsSync(join(directory, "restart"))) await page.waitForTimeout(100);
await page.reload();
away = false;
await page.locator("img.sheet").waitFor();
await page.locator("button", { hasText: "Go on training" }).waitFor({ timeout: 150000 });
seen["looks grow"] = (await looks()) > early;
await page.waitForFunction(() => document.querySelector("img.sheet")?.naturalWidth > 0);
await shot("trained");

// Make pictures, vary one, walk, move it along a direction, take it along.
await page.locator("main a", { hasText: "Create with it" }).click();
await gallery.locator("img").first().waitFor();
await gallery.locator("button").nth(3).click();
await page.locator(".detail button", { hasText: "Vary" }).click();
await page.locator("[aria-live] .gallery img").first().waitFor();
seen.variations = await page.locator("[aria-live] .gallery img").count();
await page.locator(".detail button", { hasText: "Walk from here" }).click();
await gallery.locator("button").nth(6).click();
await page.locator(".detail button", { hasText: "Walk to this" }).click();
await page.locator(".walk img").first().waitFor();
seen.walk = await page.locator(".walk img").count();
const still = await page.locator("img.large").getAttribute("src");
await page.locator(".along summary").click();
await page.locator("[name=direction-0]").waitFor();
seen.directions = await page.locator(".along input").count();
const moved = Date.now();
await page.locator("[name=direction-0]").fill("3");
await page.waitForFunction((still) => document.querySelector("img.large").src !== still, still);
seen["milliseconds to move"] = Date.now() - moved;
await shot("directions");
const download = page.waitForEvent("download");
await page.locator(".detail a", { hasText: "Download" }).click();
await (await download).saveAs(join(directory, "moved.png"));
const image = await page.locator("img.large").getAttribute("src");

// What was taken along comes back; a foreign picture is looked for.
await drop([join(directory, "moved.png")]);
await page.waitForFunction(() => document.querySelector("#status").textContent === "Settings restored");
seen["point comes back"] = (await page.locator("img.large").getAttribute("src")).length > 100 && image.length > 100;
await drop([join(folder, names[3])]);
await page.waitForFunction(() => /^Found/.test(document.querySelector("#status").textContent));
await shot("found");

// Judge it, explain it, read what came of it.
await nav("Judge");
await page.locator("button", { hasText: "Judge" }).first().click();
await nav("Runs");
await page.waitForFunction(() => document.querySelectorAll(".card").length && !document.querySelector(".jobs li"), null, { timeout: 150000 });
await nav("Judge");
await page.locator("table").first().waitFor();
seen.judged = await page.locator("table").first().innerText();
await shot("judge");

// Take the model along, delete it, and think better of it.
await nav("Models");
await page.locator("strong").first().waitFor();
const id = await page.locator("li strong").first().textContent();
const file = page.waitForEvent("download");
await page.locator("button", { hasText: "Export" }).first().click();
await (await file).saveAs(join(directory, "model.safetensors"));
await page.locator("button", { hasText: "Delete" }).first().click();
await page.locator("button", { hasText: "Undo" }).waitFor();
seen.deleted = !(await page.evaluate(async () => (await (await fetch("/v1/runs")).json()).data.length));
await shot("models");
await page.locator("button", { hasText: "Undo" }).click();
await page.locator("li strong", { hasText: id }).waitFor();
seen.restored = await page.evaluate(async () => (await (await fetch("/v1/runs")).json()).data.length === 1);

// The lab learns something.
await nav("Lab");
await page.locator("button", { hasText: "One step" }).click();
seen["one step"] = await page.locator(".lab .soft").first().textContent();
await page.locator("form button.main").click();
const steps = () => page.locator(".lab .soft").first().textContent().then((text) => parseInt(text.replace(/\D/g, "")));
while ((await steps()) < 1500) await page.waitForTimeout(200);
await page.locator("form button.main").click();
seen["lab says"] = await page.locator(".say").textContent();
await page.locator("canvas.chart").waitFor();
await shot("lab");
await page.selectOption("[name=model]", "vae");
await page.locator("form button.main").click();
while ((await steps()) < 1500) await page.waitForTimeout(200);
await shot("lab-vae");
seen["vae says"] = await page.locator(".say").textContent();

// Two more looks at a phone.
await page.setViewportSize({ width: 360, height: 740 });
for (const view of ["Lab", "Judge", "Models", "New"]) {
  await nav(view);
  await page.locator("h1").waitFor();
  await page.waitForTimeout(300);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) seen.errors.push(`${view} is ${wide} pixels wider than a phone`);
  if (view === "Judge") await shot("phone-judge");
}
await browser.close();
console.log(JSON.stringify(seen));
