// Calls of the service with the key that was given; the key stays in this tab.

export class Refused extends Error {
  constructor(error) {
    super(error.message);
    this.status = error.status;
    this.problems = error.problems || [];
    this.changes = error.changes || [];
  }
}

let key = sessionStorage.getItem("tallymark-key") || "";

export const hasKey = () => key !== "";

export function keep(given) {
  key = given;
  sessionStorage.setItem("tallymark-key", given);
}

export async function ask(method, path, body, etag) {
  const headers = { Authorization: "Bearer " + key };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (etag) headers["If-Match"] = etag;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch (error) {
    throw new Refused({ message: "The service does not answer: " + error.message });
  }
  const document = await answer.json();
  if (!answer.ok) throw new Refused(document.error);
  return { document, etag: answer.headers.get("ETag") };
}
