/**
 * @file What the layers of a vision transformer are called elsewhere, as data. A map goes from timm's names, which
 * are ours, to another library's. `*` stands for a block's index; a layer's name stands for all its tensors.
 */

/** By timm's name. Several names: the tensor is cut into as many equal parts along its first dimension. */
export type NameMap = Readonly<Record<string, string | readonly string[]>>;

/** The attention of transformers' models before version 5; later versions rename it while they load. */
const huggingFaceAttention = {
  "blocks.*.attn.qkv": [
    "encoder.layer.*.attention.attention.query",
    "encoder.layer.*.attention.attention.key",
    "encoder.layer.*.attention.attention.value",
  ],
  "blocks.*.attn.proj": "encoder.layer.*.attention.output.dense",
} as const satisfies NameMap;

const huggingFaceEmbeddings = {
  cls_token: "embeddings.cls_token",
  mask_token: "embeddings.mask_token",
  pos_embed: "embeddings.position_embeddings",
  "patch_embed.proj": "embeddings.patch_embeddings.projection",
  norm: "layernorm",
} as const satisfies NameMap;

/** `ViTModel`, and `IJepaModel`, which has no class token (transformers, convert_dino_to_pytorch.py, convert_ijepa_to_hf.py). */
export const huggingFaceVitNames: NameMap = {
  ...huggingFaceEmbeddings,
  ...huggingFaceAttention,
  "blocks.*.norm1": "encoder.layer.*.layernorm_before",
  "blocks.*.norm2": "encoder.layer.*.layernorm_after",
  "blocks.*.mlp.fc1": "encoder.layer.*.intermediate.dense",
  "blocks.*.mlp.fc2": "encoder.layer.*.output.dense",
};

const huggingFaceDinov2Blocks = {
  ...huggingFaceEmbeddings,
  ...huggingFaceAttention,
  reg_token: "embeddings.register_tokens",
  "blocks.*.norm1": "encoder.layer.*.norm1",
  "blocks.*.norm2": "encoder.layer.*.norm2",
  "blocks.*.ls1.gamma": "encoder.layer.*.layer_scale1.lambda1",
  "blocks.*.ls2.gamma": "encoder.layer.*.layer_scale2.lambda1",
} as const satisfies NameMap;

/** `Dinov2Model` and `Dinov2WithRegistersModel` (transformers, convert_dinov2_to_hf.py). */
export const huggingFaceDinov2Names: NameMap = {
  ...huggingFaceDinov2Blocks,
  "blocks.*.mlp.fc1": "encoder.layer.*.mlp.fc1",
  "blocks.*.mlp.fc2": "encoder.layer.*.mlp.fc2",
};

/** The same with SwiGLU, whose first layer holds gate and value. */
export const huggingFaceDinov2SwigluNames: NameMap = {
  ...huggingFaceDinov2Blocks,
  "blocks.*.mlp.fc1": "encoder.layer.*.mlp.weights_in",
  "blocks.*.mlp.fc2": "encoder.layer.*.mlp.weights_out",
};

/**
 * What a tensor is called elsewhere: one name, or one for each part along the first dimension.
 * @param name timm's: `blocks.3.attn.qkv.bias`
 * @returns `undefined` when the other library has no such tensor.
 */
export function mappedNames(map: NameMap, name: string): readonly string[] | undefined {
  const index = /^blocks\.(\d+)\./.exec(name)?.[1];
  const pattern = index === undefined ? name : name.replace(`.${index}.`, ".*.");
  // The tensor itself (`cls_token`), or the layer it belongs to (`norm` of `norm.weight`).
  const key = [pattern, pattern.slice(0, pattern.lastIndexOf("."))].find((each) => Object.hasOwn(map, each));
  const mapped = key === undefined ? undefined : map[key];
  if (key === undefined || mapped === undefined) return undefined;
  const tensor = pattern.slice(key.length);
  return [mapped].flat().map((each) => each.replace("*", index ?? "") + tensor);
}
