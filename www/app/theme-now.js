// Before the first paint, so that nothing flashes: the theme that was chosen here, if any.
try {
  const theme = localStorage.getItem('radllama-theme');
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's theme.
}
