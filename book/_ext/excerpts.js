// What the search shows of a page. A page opened from a folder may not fetch its neighbours: their texts come along.
(() => {
  const load = window.fetch, name = (url) => new URL(url, location.href).pathname;
  const texts = new Map(Object.entries(TEXTS).map(([page, text]) => [name(page), text]));
  window.fetch = (url, ...rest) => (texts.has(name(url)) ? Promise.resolve(new Response(texts.get(name(url)))) : load(url, ...rest));
})();
