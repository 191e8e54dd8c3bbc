// Who sits before the browser: a name given once, kept in a cookie that every change carries. dashboard/actor.py reads it.

const COOKIE = "fraudstream_actor";
const YEAR_SECONDS = 365 * 24 * 3600;

export function actorName() {
  const found = document.cookie.split("; ").find((each) => each.startsWith(`${COOKIE}=`));
  try {
    return found ? decodeURIComponent(found.slice(COOKIE.length + 1)) : "";
  } catch {
    return "";
  }
}

export const actorKnown = () => actorName() !== "";

export function remember(name) {
  const kept = name.trim();
  if (kept === "") return false;
  document.cookie = `${COOKIE}=${encodeURIComponent(kept)}; Path=/; SameSite=Strict; Max-Age=${YEAR_SECONDS}`;
  return true;
}
