// Keeps the browser's time zone in a cookie, so that the server formats times in it, and loads the very first page again.
{
  const own = `browser:${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  const cookie = (value) => `fraudstream_zone=${encodeURIComponent(value)}`;
  const chosen = document.cookie.split("; ").find((each) => each.startsWith(cookie("")));
  if ((!chosen || chosen.startsWith(cookie("browser:"))) && chosen !== cookie(own)) {
    document.cookie = `${cookie(own)}; path=/; max-age=31536000; samesite=lax`;
    const isKept = document.cookie.includes(cookie(own));
    if (isKept && `browser:${document.documentElement.dataset.zone}` !== own) window.location.reload();
  }
}
