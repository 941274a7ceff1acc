// The page while a survey is under way: how far it is, and on to what it found.

import { counted, request } from "./common.js";

const find = (selector) => document.querySelector(selector);
const STAGES = {
  waiting: "Another survey is finished first …",
  beginning: "The images are being compared …",
  comparing: "Images are being compared",
  map: "The images are being laid out …",
  thumbnails: "Pictures are being made small",
};
const WAIT = 5; // seconds for the server to wait for the end, before it says how far it is
const PAUSE = 500;

/** Say how far it is. */
function tell({ stage, done, total, seconds }) {
  const words = STAGES[stage] || "The images are being compared …";
  const share = total ? `: ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
  find("#doing").textContent = `${words}${share}, ${counted(Math.round(seconds), "second")}.`;
  const bar = find("#progress");
  if (total) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
}

async function watch() {
  const asked = find("#working").dataset.asked;
  const url = `${asked}${asked.includes("?") ? "&" : "?"}wait=${WAIT}`;
  for (;;) {
    const answer = await request(url);
    if (answer.status !== 202) break;
    tell(await answer.json());
    await new Promise((resolve) => { setTimeout(resolve, PAUSE); });
  }
  location.reload();
}

watch().catch((error) => {
  find("#problem").hidden = false;
  find("#problem").textContent = error.message;
  find("#progress").hidden = true;
  find("#doing").hidden = true;
});
