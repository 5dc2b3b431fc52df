/** Marks the section that is in view in the navigation. */
export function followSections(): void {
  const links = new Map(
    [...document.querySelectorAll<HTMLAnchorElement>('nav a')].map((link) => [link.hash.slice(1), link]),
  );
  const seen = new Set<string>();
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) seen.add(target.id);
        else seen.delete(target.id);
      }
      const current = [...links.keys()].find((id) => seen.has(id));
      for (const [id, link] of links) {
        if (id !== current) link.removeAttribute('aria-current');
        else if (!link.ariaCurrent) {
          link.ariaCurrent = 'location';
          const list = link.closest('ul');
          // Only the list: scrollIntoView would move the page, too.
          list?.scrollTo({ left: link.offsetLeft - list.clientWidth / 3 });
        }
      }
    },
    // The upper third of the window.
    { rootMargin: '-64px 0px -66% 0px' },
  );
  document.querySelectorAll('main > section').forEach((section) => {
    watcher.observe(section);
  });
}
