// The studio in a real browser. Usage: studio.mjs BASE_URL DIRECTORY TEXT
// Walks through the page as a person would, writes what it downloads and looks like into DIRECTORY, and prints what it saw as
// one JSON object.
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.MALIANG_TEST_NODE_MODULES ?? ".", "anchor.js"));
const { chromium } = require("playwright-core");

const [url, directory, text] = process.argv.slice(2);
const seen = { errors: [] };
const browser = await chromium.launch({
  executablePath: process.env.MALIANG_TEST_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, locale: "en-US", acceptDownloads: true });
const page = await context.newPage();
page.setDefaultTimeout(30000);
page.on("pageerror", (error) => seen.errors.push(String(error)));
page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
page.on("requestfailed", (request) => {
  // Leaving a view breaks off what it was still listening to.
  if (!/events$/.test(request.url())) seen.errors.push(`${request.url()}: ${request.failure().errorText}`);
});
const shot = (name) => page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
const gallery = page.locator("#main > div > .gallery").first();

// Runs, and one of them.
await page.goto(url);
await page.locator(".card").first().waitFor();
seen.runs = (await page.locator(".card strong").allTextContents()).sort();
await page.waitForFunction(() => [...document.querySelectorAll("img.thumb")].every((image) => image.naturalWidth > 0));
await shot("runs");
await page.locator(".card", { hasText: "pictures" }).click();
await page.locator("canvas.chart").first().waitFor();
await page.waitForFunction(() => document.querySelector("img.sheet")?.naturalWidth > 0);
const slider = page.locator("input[type=range]").first();
const before = await page.locator("h2 output").textContent();
await slider.focus();
await page.keyboard.press("ArrowLeft");
seen["slider moves"] = before !== (await page.locator("h2 output").textContent());
await shot("run");

// Pictures: make, choose one, download it, vary it, walk to another.
await page.locator("main a", { hasText: "Create with it" }).click();
await gallery.locator("img").first().waitFor();
seen["at first"] = await gallery.locator("img").count();
await page.locator("input[name=seed]").fill("7");
await page.locator("button.main").click();
await page.waitForFunction(() => document.querySelector(".gallery img")?.alt.startsWith("Seed 7,"));
await gallery.locator("button").nth(2).click();
await page.locator(".detail dl").waitFor();
seen.recipe = await page.locator(".detail dl").innerText();
const download = page.waitForEvent("download");
await page.locator(".detail a", { hasText: "Download" }).click();
await (await download).saveAs(join(directory, "downloaded.png"));
await page.locator(".detail button", { hasText: "Favourite" }).click();
await page.locator("h2", { hasText: "Favourite" }).waitFor();
await page.locator(".detail button", { hasText: "Vary" }).click();
await page.locator("[aria-live] .gallery img").first().waitFor();
seen.variations = await page.locator("[aria-live] .gallery img").count();
await shot("create");
await page.locator(".detail button", { hasText: "Walk from here" }).click();
await gallery.locator("button").nth(5).click();
await page.locator(".detail button", { hasText: "Walk to this" }).click();
await page.locator(".walk img").first().waitFor();
seen.walk = await page.locator(".walk img").count();

// The downloaded file, dropped back, restores its settings.
await page.locator("button", { hasText: "Another seed" }).click();
await page.waitForFunction(() => !document.querySelector(".gallery img")?.alt.startsWith("Seed 7,"));
const { readFileSync } = await import("node:fs");
const bytes = readFileSync(join(directory, "downloaded.png")).toString("base64");
const transfer = await page.evaluateHandle((bytes) => {
  const data = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([data], "downloaded.png", { type: "image/png" }));
  return transfer;
}, bytes);
await page.dispatchEvent("#main > div", "drop", { dataTransfer: transfer });
await page.waitForFunction(() => document.querySelector("[name=seed]").value === "7");
await page.locator(".detail dl").waitFor();
seen["restored recipe"] = await page.locator(".detail dl").innerText();

// Text, as it is written.
await page.locator("nav a", { hasText: "Write" }).click();
await page.locator("textarea").fill("the moon");
await page.locator("button.main").click();
await page.waitForFunction(() => document.querySelectorAll(".piece[aria-busy=false]").length === 2);
seen.pieces = await page.locator(".piece pre").allTextContents();
seen.label = await page.locator(".piece .label").first().textContent();
await shot("write");

// Loose pictures become one source, which can be deleted again.
await page.locator("nav a", { hasText: "New" }).click();
await page.locator("#checked").waitFor();
await page.locator("#file").setInputFiles([join(directory, "runs.png"), join(directory, "write.png")]);
await page.waitForFunction(() => document.querySelector("[name=source]")?.value.startsWith("My pictures"));
await page.locator("dt", { hasText: "Pictures that can be used" }).waitFor();
seen["loose pictures"] = await page.locator("#checked").innerText();
await shot("loose");
await page.locator("form button", { hasText: "Delete" }).click();
await page.waitForFunction(() => !document.querySelector("[name=source]")?.value.startsWith("My pictures"));
await page.locator("#checked").waitFor();

// A new run: send a text, see what the check finds, train, watch, stop.
await page.locator("nav a", { hasText: "New" }).click();
await page.locator("#file").setInputFiles(text);
await page.waitForFunction(() => document.querySelector("[name=source]")?.value === "more.txt");
await page.locator("dt", { hasText: "Documents" }).waitFor();
seen.checked = await page.locator("#checked").innerText();
await shot("new");
await page.locator("input[name=minutes]").fill("2");
await page.locator("button.main").click();
await page.locator(".jobs a").click();
await page.locator("canvas.chart").first().waitFor();
await page.locator("nav a", { hasText: "Runs" }).click();
await page.locator(".jobs details").first().waitFor();
await shot("jobs");
await page.locator(".jobs button").first().click();
await page.waitForFunction(() => !document.querySelector(".jobs li"));
await page.locator(".card strong", { hasText: "more-1" }).waitFor();
seen["after training"] = (await page.locator(".card strong").allTextContents()).sort();
await page.locator("nav a", { hasText: "Write" }).click();
await page.locator("textarea").waitFor();

// The other language, which stays; and a phone.
await page.locator("#language").click();
seen.chinese = await page.locator("h1").textContent();
await page.reload();
await page.locator("h1").waitFor();
seen["chinese stays"] = await page.locator("h1").textContent();
await page.setViewportSize({ width: 360, height: 740 });
await page.locator("nav a").nth(2).click();
await gallery.locator("img").first().waitFor();
seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
await shot("phone");
await page.emulateMedia({ colorScheme: "dark" });
await shot("dark");

// The API as people read it.
await page.emulateMedia({ colorScheme: "light" });
await page.goto(`${url}docs`);
await page.locator("main details").first().waitFor();
seen["documented"] = await page.locator("main details summary strong").allTextContents();
await page.locator("summary", { hasText: "/v1/images/generations" }).click();
seen["request fields"] = await page.locator("details[open] th code").allTextContents();
seen["docs overflow"] = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
await shot("docs");

// By keyboard alone: the first stop jumps over the navigation.
await page.goto(url);
await page.keyboard.press("Tab");
seen.skip = await page.evaluate(() => document.activeElement.className);

await browser.close();
console.log(JSON.stringify(seen));
