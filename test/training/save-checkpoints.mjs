/**
 * @file Saves one checkpoint after the other until it is killed, continuing where the folder ends; prints each step when
 * it is saved. Every third is saved twice. All values of a checkpoint are its step.
 *
 *     node save-checkpoints.mjs FOLDER BYTES
 */
import { CheckpointStore } from "#src/training/checkpoint-store.js";

const [folder, bytes] = process.argv.slice(2);
const store = new CheckpointStore(folder, { keepLast: 2, warn: (message) => console.error(message) });
const resumed = await store.newest();
const tensors = new Map();
for (let i = 0; i < 4; i++) {
  const data = new Float32Array(Number(bytes) / 16);
  tensors.set(`t${i}`, { dtype: "float32", shape: [data.length], data });
}
for (let step = (resumed?.step ?? 0) + 1; ; step++) {
  for (const { data } of tensors.values()) data.fill(step);
  for (let i = step % 3 === 0 ? 2 : 1; i > 0; i--) {
    await store.save(step, tensors, { step, text: String(step).repeat(1000) });
    process.stdout.write(`${step}\n`);
  }
}
