// Whoever sees no colours tells the states apart by their shapes.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { end, open } from "./harness.mjs";

after(end);

/** How bright each pixel of a picture is, 0 to 255. */
const brightness = (page, png) => page.evaluate(async (data) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  const { data: rgba } = context.getImageData(0, 0, image.width, image.height);
  return Array.from({ length: rgba.length / 4 }, (_, n) => 0.2126 * rgba[4 * n] + 0.7152 * rgba[4 * n + 1] + 0.0722 * rgba[4 * n + 2]);
}, png.toString("base64"));

for (const dark of [false, true]) {
  test(`each state is told apart in greyscale: ${dark ? "dark" : "light"}`, async () => {
    const { page, go, close } = await open({ dark });
    // The page's own policy lets it read no picture that it did not load.
    const blank = await open();
    await go("/");
    await page.locator(".live.is-live").waitFor();
    await page.keyboard.press("?");
    const marks = page.locator(".state-list li");
    await marks.first().waitFor();
    const shades = new Map();
    for (const mark of await marks.all()) shades.set(await mark.innerText(), await brightness(blank.page, await mark.locator(".mark").screenshot({ animations: "disabled" })));
    assert.equal(shades.size, 11);
    for (const [one, a] of shades) {
      for (const [other, b] of shades) {
        if (one >= other) continue;
        const apart = a.reduce((sum, shade, n) => sum + Math.abs(shade - b[n]), 0) / a.length;
        assert.ok(apart > 8, `${one} and ${other} look alike: ${apart.toFixed(1)} of 255`);
      }
    }
    await blank.close();
    await close();
  });
}
