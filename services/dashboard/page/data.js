// Reading from the API. An answer that is not fine becomes an error that names what was asked and why it failed.

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function get(path) {
  return (await ask(path)).json();
}

// Reads the beginning of a text, without loading all of it: a diff may have many megabytes.
export async function getText(path, limit) {
  const reader = (await ask(path)).body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < limit) {
    const { done, value } = await reader.read();
    if (done) return { text: text + decoder.decode(), whole: true };
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  return { text: text.slice(0, limit), whole: false };
}

async function ask(path) {
  const answer = await fetch(`/api/v1/${path}`);
  if (answer.ok) return answer;
  let detail = `${answer.status} ${answer.statusText}`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch {
    // Not problem+json: the status line has to do.
  }
  throw new Refused(answer.status, detail);
}
