// The page of duplicates: a pair is looked at side by side; the URL says which.

import { moveAmong } from "./cards.js";
import { Look } from "./look.js";
import { pairOf } from "./pair.js";

const find = (selector) => document.querySelector(selector);
const look = new Look(() => go(null), () => {});
const index = find('form.filter [name="index"]').value;

/** Look at a pair of keys, or at none. */
function go(pair) {
  const parameters = new URLSearchParams(location.search);
  if (pair) parameters.set("look", pair);
  else parameters.delete("look");
  history.pushState(null, "", parameters.size ? `?${parameters}` : location.pathname);
  show();
}

/** Show the pair that the URL says. */
async function show() {
  const pair = new URLSearchParams(location.search).get("look");
  const link = pair && [...document.querySelectorAll("a.pair")].find((each) => pairAt(each) === pair);
  if (!link) {
    look.close();
    return;
  }
  const [kept, member] = [JSON.parse(link.dataset.kept), JSON.parse(link.dataset.member)];
  find("#status").textContent = "Comparing …";
  try {
    const compared = await pairOf(index, kept, { image: member.key });
    find("#status").textContent = "";
    if (new URLSearchParams(location.search).get("look") !== pair) return;
    const match = compared.verified ? compared : { ...compared, ...told(kept, member) };
    look.open({
      match,
      others: [match],
      index,
      query: { source: sourceOf(member), size: [member.width, member.height], named: { image: member.key } },
      box: null,
      title: `${member.image} (${member.text}) beside ${kept.image}`,
    });
  } catch (error) {
    find("#status").textContent = error.message;
  }
}

/** What the report says of a pair that the pixels of the two alone do not verify. */
function told(kept, { homography, inliers, rotation, scale, mirrored }) {
  return { homography, inliers, rotation: homography ? rotation : null, scale, mirrored, outline: null, correspondences: [] };
}

function sourceOf(image) {
  return `${image.thumbnail}&side=1600`;
}

function pairAt(link) {
  return new URL(link.href).searchParams.get("look");
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.pair");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(pairAt(link));
});
for (const cards of document.querySelectorAll(".cards")) cards.addEventListener("keydown", moveAmong);
window.addEventListener("popstate", show);
show();
