// Two pictures that are compared when somebody wants to see them side by side.

import { posted, request } from "./common.js";

/** The second of two pictures in the first, an image of a key, as a match that can be looked at. */
export async function pairOf(index, image, second, box = null) {
  const question = { index, first: { image: image.key }, second, ...(box && { box }) };
  const answer = await (await request("/api/v1/compare", posted(question))).json();
  return { ...answer, key: image.key, image: image.image, checked: true };
}
