// What the page has the local stack do and tell, beside calling functions.

// The answer, null where it was not done: the inspector's next look tells whether the stack is there.
export async function post(name, body) {
  const answer = await fetch(`/_page/${name}`, { method: "POST", body: JSON.stringify(body) }).catch(() => null);
  return answer?.ok ? answer : null;
}

export async function get(name) {
  const answer = await fetch(`/_page/${name}`).catch(() => null);
  return answer?.ok ? answer.json().catch(() => null) : null;
}
