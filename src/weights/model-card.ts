/** @file The README.md of an exported encoder: what it is and how it is used. */

import type { Encoder } from "./encoder.js";
import { huggingFaceModelType } from "./huggingface.js";
import type { OnnxPrecision } from "./onnx-export.js";
import { encoderPreprocessing } from "./preprocessing.js";

/** Text in a Markdown document: no markup, on one line. */
function plain(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[\\`*_[\]<>#|]/g, "\\$&");
}

/** @param onnx The models that are beside it. */
export function modelCard(
  { config, label, trained, origin = {} }: Encoder,
  onnx: readonly OnnxPrecision[],
): string {
  const { classToken, registers, imageSize, patchSize, embedDim, depth, numHeads } = config;
  const { resize, size } = encoderPreprocessing(config);
  const before = registers + (classToken ? 1 : 0);
  const patches = before === 0 ? "last_hidden_state.mean(1)" : `last_hidden_state[:, ${before}:].mean(1)`;
  const tokens = [
    ...(classToken ? ["the class token"] : []),
    ...(registers > 0 ? [`${registers} registers`] : []),
    `${(imageSize / patchSize) ** 2} patches`,
  ].join(", ");
  const facts: Readonly<Record<string, string | number | undefined>> = {
    Method: origin.method && plain(origin.method),
    Recipe: origin.recipe && plain(origin.recipe),
    Steps: origin.steps,
    Seed: origin.seed,
    Architecture: `ViT, ${embedDim} features, ${depth} blocks, ${numHeads} heads, patch ${patchSize}`,
    Images: `shorter side to ${resize} px (bicubic), central ${size} px, ImageNet's mean and deviation`,
    "Trained feature": trained === "cls" ? "class token" : "mean of the patch tokens",
  };
  const rows = Object.entries(facts).filter(([, value]) => value !== undefined);
  return `---
library_name: transformers
pipeline_tag: image-feature-extraction
tags: [inbetween, self-supervised, ${huggingFaceModelType(config)}]
---

# ${plain(label)}

An image encoder pretrained without labels by \`inbetween\`.

${rows.map(([key, value]) => `- ${key}: ${value}`).join("\n")}

\`last_hidden_state\` holds ${tokens}, after the final norm.
${onnx.length > 0 ? javascript(onnx) : ""}
## Python

\`\`\`python
from transformers import AutoImageProcessor, AutoModel

processor, model = AutoImageProcessor.from_pretrained(folder), AutoModel.from_pretrained(folder)
last_hidden_state = model(**processor(images=image, return_tensors="pt")).last_hidden_state
features = ${trained === "cls" ? "last_hidden_state[:, 0]" : patches}
\`\`\`
`;
}

/** What transformers.js calls each precision, and what it is. */
const explained: Readonly<Record<OnnxPrecision, string>> = {
  fp32: "`fp32`: exact",
  fp16: "`fp16`: half the size, for WebGPU",
  int8: "`q8` (or `int8`): a quarter of the size, 8-bit linear layers",
};

const javascript = (onnx: readonly OnnxPrecision[]): string => `
## JavaScript

\`\`\`js
import { pipeline } from "@huggingface/transformers";

const extract = await pipeline("image-feature-extraction", folder, { dtype: "${onnx[0] === "int8" ? "q8" : onnx[0]}" });
const features = await extract(image, { pool: true });
\`\`\`

\`pool: true\` gives the trained feature; without it, all tokens come back. \`dtype\` can be ${onnx.map((each) => explained[each]).join("; ")}.
`;
