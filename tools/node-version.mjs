const wanted = [20, 19];

/** Ends the process with a clear message where Node is older than the workspace supports. */
export function requireNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  if (major > wanted[0] || (major === wanted[0] && minor >= wanted[1])) return;
  console.error(
    `peftjs: this is Node ${version}, and Node ${wanted.join('.')} or newer is needed. ` +
      'Install a current version from https://nodejs.org and run the command again.',
  );
  process.exit(1);
}
