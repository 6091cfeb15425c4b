// Plays an HLS playlist in Debian's Chromium through hls.js and says what happens, a line of JSON
// each: `node play.mjs URL`. Ends when it is killed, or by itself after some minutes.
//
// WEB_TOOLS is the directory with node_modules (scripts/web-tools makes it).

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const MAX_MS = 180_000;
const require = createRequire(`${process.env.WEB_TOOLS}/`);
const { chromium } = require("playwright-core");
const hlsScript = readFileSync(require.resolve("hls.js/dist/hls.min.js"), "utf8");
const [url] = process.argv.slice(2);

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
  ],
});
const end = async () => {
  await browser.close();
  process.exit(0);
};
process.on("SIGTERM", end);
setTimeout(end, MAX_MS);

const page = await browser.newPage();
page.on("pageerror", (error) => say({ event: "page-error", text: String(error) }));
await page.exposeFunction("say", say);
await page.setContent("<video muted></video>");
await page.addScriptTag({ content: hlsScript });
await page.evaluate(watch, url);

// Runs in the page.
function watch(url) {
  const video = document.querySelector("video");
  const hls = new Hls();
  // What the player was told of each segment, by number: it must never change.
  const known = new Map();
  let previous = { startSN: 0, endSN: -1, target: 0 };
  hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
    for (const fragment of details.fragments) {
      const told = `${fragment.relurl} ${fragment.cc}`;
      const before = known.get(fragment.sn) ?? told;
      known.set(fragment.sn, told);
      if (before !== told) {
        say({ event: "contradiction", sn: fragment.sn, before, told });
      }
    }
    const now = {
      startSN: details.startSN,
      endSN: details.endSN,
      target: details.targetduration,
    };
    const shrank = now.startSN < previous.startSN || now.endSN < previous.endSN;
    if (shrank || (previous.target && now.target !== previous.target)) {
      say({ event: "contradiction", before: previous, told: now });
    }
    previous = now;
    say({ event: "list", ...now, live: details.live, seconds: details.totalduration });
  });
  hls.on(Hls.Events.FRAG_LOADED, (_, { frag }) =>
    say({
      event: "loaded",
      sn: frag.sn,
      url: frag.relurl,
      date: frag.programDateTime,
      now: Date.now(),
    }),
  );
  hls.on(Hls.Events.ERROR, (_, { type, details, fatal, error }) =>
    say({ event: "error", type, details, fatal, text: String(error) }),
  );
  video.addEventListener("ended", () => say({ event: "ended", time: video.currentTime }));
  video.addEventListener("playing", () =>
    say({ event: "playing", time: video.currentTime, latency: hls.latency }),
  );
  hls.loadSource(url);
  hls.attachMedia(video);
  video.play();
  setInterval(() => {
    const quality = video.getVideoPlaybackQuality();
    say({
      event: "state",
      time: video.currentTime,
      // Of what is on the screen, in milliseconds since 1970.
      date: hls.playingDate?.getTime() ?? null,
      now: Date.now(),
      frames: quality.totalVideoFrames,
    });
  }, 250);
}
