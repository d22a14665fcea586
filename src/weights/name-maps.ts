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

/** What transformers calls the attention since version 5, in memory and in state dictionaries. */
const huggingFace5Attention = (block: string): NameMap => ({
  "blocks.*.attn.qkv": ["q_proj", "k_proj", "v_proj"].map((part) => `${block}.attention.${part}`),
  "blocks.*.attn.proj": `${block}.attention.o_proj`,
});

/** `ViTModel`, `IJepaModel` and `ViTMAEModel` since transformers 5. */
export const huggingFace5VitNames: NameMap = {
  ...huggingFaceEmbeddings,
  ...huggingFace5Attention("layers.*"),
  "blocks.*.norm1": "layers.*.layernorm_before",
  "blocks.*.norm2": "layers.*.layernorm_after",
  "blocks.*.mlp.fc1": "layers.*.mlp.fc1",
  "blocks.*.mlp.fc2": "layers.*.mlp.fc2",
};

/** `Dinov2Model` and `Dinov2WithRegistersModel` since transformers 5. */
export const huggingFace5Dinov2Names: NameMap = {
  ...huggingFaceDinov2Names,
  ...huggingFace5Attention("encoder.layer.*"),
};

/** The same with SwiGLU, whose gate and value are layers of their own. */
export const huggingFace5Dinov2SwigluNames: NameMap = {
  ...huggingFace5Dinov2Names,
  "blocks.*.mlp.fc1": ["encoder.layer.*.mlp.gate_proj", "encoder.layer.*.mlp.up_proj"],
  "blocks.*.mlp.fc2": "encoder.layer.*.mlp.down_proj",
};

const same = (names: readonly string[]): NameMap => Object.fromEntries(names.map((name) => [name, name]));

/** timm, and the official code of DINO, MoCo v3, MAE and I-JEPA, which grew out of it. */
export const timmNames: NameMap = same([
  "cls_token",
  "reg_token",
  "pos_embed",
  "patch_embed.proj",
  "blocks.*.norm1",
  "blocks.*.attn.qkv",
  "blocks.*.attn.proj",
  "blocks.*.ls1.gamma",
  "blocks.*.norm2",
  "blocks.*.mlp.fc1",
  "blocks.*.mlp.fc2",
  "blocks.*.ls2.gamma",
  "norm",
]);

/** iBOT (and BEiT, from which it has LayerScale): models/vision_transformer.py. */
export const ibotNames: NameMap = {
  ...timmNames,
  mask_token: "masked_embed",
  "blocks.*.ls1.gamma": "blocks.*.gamma_1",
  "blocks.*.ls2.gamma": "blocks.*.gamma_2",
};

/** DINOv2: dinov2/models/vision_transformer.py, layers/swiglu_ffn.py. */
export const dinov2Names: NameMap = { ...timmNames, mask_token: "mask_token", reg_token: "register_tokens" };

/** The same with SwiGLU. */
export const dinov2SwigluNames: NameMap = {
  ...dinov2Names,
  "blocks.*.mlp.fc1": "blocks.*.mlp.w12",
  "blocks.*.mlp.fc2": "blocks.*.mlp.w3",
};

/** A tensor of ours, or a part of one, that a tensor elsewhere is. */
export interface MappedTensor {
  /** timm's name. */
  readonly name: string;
  readonly part: number;
  readonly parts: number;
}

/**
 * The way back: from what tensors are called elsewhere to ours. Several maps are read at once, so that files may use the
 * names of several versions.
 */
export function namesBack(maps: readonly NameMap[]): (theirs: string) => MappedTensor | undefined {
  const layers = new Map<string, MappedTensor>();
  for (const [ours, theirs] of maps.flatMap((map) => Object.entries(map))) {
    const names = [theirs].flat();
    names.forEach((name, part) => {
      layers.set(name, { name: ours, part, parts: names.length });
    });
  }
  return (theirs) => {
    const index = /\.(\d+)\./.exec(theirs)?.[1];
    const pattern = index === undefined ? theirs : theirs.replace(`.${index}.`, ".*.");
    const key = [pattern, pattern.slice(0, pattern.lastIndexOf("."))].find((each) => layers.has(each));
    const layer = key === undefined ? undefined : layers.get(key);
    if (key === undefined || !layer) return undefined;
    return { ...layer, name: layer.name.replace("*", index ?? "") + pattern.slice(key.length) };
  };
}
