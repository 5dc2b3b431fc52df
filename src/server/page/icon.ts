/** Three bars, as the page shows them. */
export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#2f6fd0"/><path d="M7 10h18M7 16h11M7 22h6" stroke="#fff" stroke-width="3.4" stroke-linecap="round"/></svg>`;
