// Which property is open, and its read key: kept for this tab alone.

const NAME = 'tallymark-access';

export function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(NAME));
  } catch (error) {
    return null;
  }
}

export function remember(access) {
  sessionStorage.setItem(NAME, JSON.stringify(access));
}

export function forget() {
  sessionStorage.removeItem(NAME);
}

// #property=…&key=…: a fragment is never sent to a server. It is taken out of the address, so that
// it stays in no history and no bookmark.
export function fromFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const property = fragment.get('property');
  const key = fragment.get('key');
  if (!property || !key) return null;
  history.replaceState(null, '', location.pathname);
  return { property, key };
}
