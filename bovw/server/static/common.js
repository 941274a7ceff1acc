// What the other modules use: elements, requests, words.

/** An element with attributes (functions listen to events) and children. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** What the server says; an error has its one sentence. */
export async function request(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.title || `The server says ${answer.status}.`);
}

/** A JSON body as the options of a request. */
export function posted(body, signal) {
  const headers = { "Content-Type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify(body), signal };
}

/** One word for how sure a match is, and what to call it. */
export function verdictOf(match) {
  if (match.verified) return ["verified", "✔ Verified"];
  if (match.expanded) return ["verified", "✔ Verified with other views"];
  if (match.inliers) return ["unsure", "? Unsure: may agree by chance"];
  return ["none", match.checked ? "– No agreement" : "– Not looked at closely"];
}

/** How the query lies in an image. */
export function placeOf(match) {
  if (match.rotation === null) return "";
  const turned = Math.round(match.rotation * 10) / 10 + 0;
  const words = [`turned ${turned.toFixed(1)}°`, `scaled ${match.scale.toPrecision(3)}`];
  if (match.mirrored) words.push("mirrored");
  if (match.negative) words.push("a negative");
  return words.join(", ");
}

/** How long an answer took, in words. */
export function secondsOf(answer) {
  return `${Object.values(answer.seconds).reduce((sum, value) => sum + value, 0).toFixed(2)} s`;
}

/** Of how many, in words. */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** Give the user a file. */
export function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
