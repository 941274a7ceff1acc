// The answers of a search as cards, and the keys that move among them.

import { element, placeOf, shape, verdictOf } from "./common.js";

/** Cards for matches; `go` opens one. */
export function answerCards(matches, state, go) {
  return matches.map((match) => card(match, state, go));
}

/** Cards for images that look like a picture; `go` opens one. */
export function similarCards(matches, state, go) {
  return matches.map((match) => {
    const parts = Object.entries(match.parts);
    const words = parts.map(([name, value]) => `${name} ${value.toFixed(2)}`).join(", ");
    const similarity = `similarity ${match.similarity.toFixed(3)}`;
    return element(
      "li", { class: "card" },
      pictureLink(match, similarity, go),
      element(
        "div", { class: "words" },
        element("p", { class: "verdict" }, `${match.rank}. ${similarity}`),
        parts.length > 1 ? element("p", { class: "hint" }, words) : null,
        ...aboutImage(match, state),
      ),
    );
  });
}

/** The picture of a card, which opens it. */
function pictureLink(match, word, go) {
  const looked = new URLSearchParams(location.search);
  looked.set("look", match.key);
  const open = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go({ look: match.key });
  };
  const label = `${match.rank}. ${match.image}: ${word}. Look closely`;
  return element("a", { class: "picture", href: `?${looked}`, "aria-label": label, click: open }, ...pictureOf(match));
}

/** What a card says of an image whatever it was asked, and where it leads. */
function aboutImage(match, state) {
  const here = { index: state.index, image: match.key };
  return [
    match.gone ? element("p", { class: "problem" }, "Its file is gone") : null,
    match.unreachable ? element("p", { class: "hint" }, "Its file is not reachable here") : null,
    element("p", { class: "path" }, ...pathOf(match.image), copyButton(match.image)),
    match.unreachable ? null : element(
      "p", { class: "ways" },
      way("Find this", "/", { ...here, whole: "1" }, match), way("Find a part", "/", here, match),
      way("Looks like this", "/similar", here, match),
    ),
  ];
}

function card(match, state, go) {
  const [kind, word] = verdictOf(match);
  const figures = [];
  if (match.inliers) figures.push(`confidence ${(match.confidence * 100).toFixed(1)} %`, `${match.inliers} agree`);
  return element(
    "li", { class: `card ${kind}` },
    pictureLink(match, word.replace(/^\W+/, ""), go),
    element(
      "div", { class: "words" },
      element("p", { class: "verdict" }, word),
      figures.length ? element("p", {}, figures.join(", ")) : null,
      match.rotation === null ? null : element("p", {}, placeOf(match)),
      match.likeness === null ? null : element("p", {}, `likeness ${match.likeness.toFixed(2)} among nearly equal images`),
      ...aboutImage(match, state),
    ),
  );
}

function way(words, place, parameters, match) {
  const href = `${place}?${new URLSearchParams(parameters)}`;
  return element("a", { href, "aria-label": `${words}: ${match.image}` }, words);
}

function pictureOf(match) {
  if (match.gone || match.unreachable) return [];
  const parts = [element("img", { src: match.thumbnail, alt: "", loading: "lazy", decoding: "async" })];
  if (match.outline) {
    const points = match.outline.map(([x, y]) => `${x + 0.5},${y + 0.5}`).join(" ");
    const box = { viewBox: `0 0 ${match.width} ${match.height}`, "aria-hidden": "true" };
    parts.push(shape(
      "svg", box,
      shape("polygon", { class: "outline under", points }), shape("polygon", { class: "outline over", points }),
    ));
  }
  return parts;
}

/** A path of which the last part stands out. */
function pathOf(path) {
  const cut = path.lastIndexOf("/") + 1;
  const folder = cut ? element("span", { class: "tile-folder" }, path.slice(0, cut)) : "";
  return [element("span", { class: "name" }, folder, element("strong", {}, path.slice(cut)))];
}

function copyButton(text) {
  const button = element("button", { type: "button", "aria-label": `Copy the path ${text}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}

/** Arrows move among the pictures of the cards; up and down by rows. */
export function moveAmong(event) {
  const pictures = [...event.currentTarget.querySelectorAll("a.picture")].filter((each) => each.offsetParent);
  const at = pictures.indexOf(document.activeElement);
  if (at < 0) return;
  const { left, top } = pictures[at].getBoundingClientRect();
  const row = (way) => pictures
    .filter((each) => way * (each.getBoundingClientRect().top - top) > 1)
    .sort((one, other) => cost(one) - cost(other))[0];
  const cost = (each) => {
    const place = each.getBoundingClientRect();
    return Math.abs(place.top - top) * 1000 + Math.abs(place.left - left);
  };
  const next = {
    ArrowRight: () => pictures[at + 1],
    ArrowLeft: () => pictures[at - 1],
    ArrowDown: () => row(1),
    ArrowUp: () => row(-1),
    Home: () => pictures[0],
    End: () => pictures.at(-1),
  }[event.key]?.();
  if (!next) return;
  event.preventDefault();
  next.focus();
}
