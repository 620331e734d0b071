import { bySource, countText, pretrainingCorpus } from './corpus.ts';

const { train, heldOut } = pretrainingCorpus();
const heldOutBySource = bySource(heldOut);
const rows = [...bySource(train)].map(([source, documents]) => ({
  source,
  ...countText(documents),
  heldOutDocuments: heldOutBySource.get(source)?.length ?? 0,
  heldOutBytes: countText(heldOutBySource.get(source) ?? []).bytes,
}));
console.table(rows);
console.log(JSON.stringify({ train: countText(train), heldOut: countText(heldOut) }));
