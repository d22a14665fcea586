/**
 * @file The smaller ONNX models of an encoder and models of several files: what transformers.js computes with them from
 * disk, how large they are, and that every operator is ONNX's own.
 */

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { AutoModel, env, Tensor } from "@huggingface/transformers";
import { ModelProtoSchema, TensorProto_DataLocation, TensorProto_DataType } from "onnx-buf";
import { describe, expect, test } from "vitest";
import { constant, GraphError, input, makeGraph, matmul, toHalfPrecision } from "#src/graph/index.js";
import { type Encoder, encoderOnnx, encoderOnnxFiles, saveEncoder } from "#src/weights/index.js";
import { IMAGE_SIZE, randomEncoder, randomImages } from "./encoders.mjs";
import { temporaryFolder } from "./helpers.js";

const variants = ["plain", "all of DINOv2"] as const;
/** Wide enough that weights, not the graph, make up the files. */
const WIDE = { embedDim: 192, numHeads: 3 };
const images = randomImages(2);

/** Writes an encoder where transformers.js looks for models, and nowhere else. */
async function saved(encoder: Encoder, maxFileBytes?: number): Promise<string> {
  const root = temporaryFolder();
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = `${root}/`;
  const limit = maxFileBytes === undefined ? {} : { maxFileBytes };
  return (await saveEncoder(encoder, join(root, "encoder"), limit)).folder;
}

/** The tokens that transformers.js computes with one of the models, found by the name of its precision. */
async function tokens(dtype: "fp32" | "fp16" | "int8" | "q8"): Promise<Float32Array> {
  const model = await AutoModel.from_pretrained("encoder", { dtype });
  const shape = [2, 3, IMAGE_SIZE, IMAGE_SIZE];
  const { last_hidden_state } = await model({ pixel_values: new Tensor("float32", images, shape) });
  const values = Float32Array.from(last_hidden_state.data);
  await model.dispose();
  return values;
}

function cosine(a: Float32Array, b: Float32Array): number {
  expect(a).toHaveLength(b.length);
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

describe("transformers.js computes from disk", () => {
  test.each(variants)("nearly the same tokens with smaller models: %s", async (name) => {
    const folder = await saved(randomEncoder(name, WIDE));
    const exact = await tokens("fp32");
    const half = await tokens("fp16");
    expect(cosine(half, exact)).toBeGreaterThan(0.9999);
    // It is not the same model under another name.
    expect(half).not.toEqual(exact);
    const integers = await tokens("int8");
    expect(cosine(integers, exact)).toBeGreaterThan(0.99);
    expect(integers).not.toEqual(exact);
    expect(await tokens("q8")).toEqual(integers);
    const size = (file: string) => statSync(join(folder, "onnx", file)).size;
    expect(size("model_fp16.onnx") / size("model.onnx")).toBeLessThan(0.52);
    expect(size("model_int8.onnx") / size("model.onnx")).toBeLessThan(0.29);
  });

  test("a model whose data lie in files beside it", async () => {
    const encoder = randomEncoder("plain", WIDE);
    await saved(encoder);
    const [whole, wholeHalf] = [await tokens("fp32"), await tokens("fp16")];
    const folder = await saved(encoder, 2 ** 20);
    const files = readdirSync(join(folder, "onnx"));
    expect(files).toContain("model.onnx_data_1");
    expect(files).toContain("model_fp16.onnx_data");
    expect(Math.max(...files.map((file) => statSync(join(folder, "onnx", file)).size))).toBeLessThanOrEqual(
      2 ** 20,
    );
    expect(await tokens("fp32")).toEqual(whole);
    expect(await tokens("fp16")).toEqual(wholeHalf);
  });
});

describe("the models", () => {
  const graphOf = (precision: "fp32" | "fp16" | "int8") => {
    const model = fromBinary(ModelProtoSchema, encoderOnnx(randomEncoder("all of DINOv2"), { precision }));
    expect(model.opsetImport.map(({ domain }) => domain)).toEqual([""]);
    if (!model.graph) throw new Error("no graph");
    return model.graph;
  };

  test("take and give float32 in every precision", () => {
    for (const precision of ["fp32", "fp16", "int8"] as const) {
      const { input: inputs, output: outputs } = graphOf(precision);
      const types = [...inputs, ...outputs].map(({ type }) =>
        type?.value.case === "tensorType" ? type.value.value.elemType : undefined,
      );
      expect(types).toEqual([1, 1, 1]);
    }
  });

  test("hold their matrices in the precision's type, and each only once", () => {
    for (const [precision, type] of [
      ["fp32", TensorProto_DataType.FLOAT],
      ["fp16", TensorProto_DataType.FLOAT16],
      ["int8", TensorProto_DataType.INT8],
    ] as const) {
      const { initializer, node } = graphOf(precision);
      const matrices = initializer.filter(({ dims }) => dims.length === 2 && dims.every((dim) => dim > 20n));
      // Of two blocks: qkv, proj, fc1, fc2; and the patches' where it is stored as a matrix.
      expect(matrices.length).toBeGreaterThanOrEqual(8);
      expect(new Set(matrices.map(({ dataType }) => dataType))).toEqual(new Set([type]));
      const read = new Set(node.flatMap(({ input: names }) => names));
      expect(initializer.filter(({ name }) => !read.has(name))).toEqual([]);
    }
  });

  test("compute layer norms and softmax in float32 also in half precision", () => {
    const { node } = graphOf("fp16");
    const producers = new Map(node.flatMap((each) => each.output.map((name) => [name, each] as const)));
    const guarded = node.filter(({ opType }) => ["LayerNormalization", "Softmax"].includes(opType));
    expect(guarded).toHaveLength(7);
    for (const each of guarded) {
      const cast = producers.get(each.input[0] ?? "");
      expect([cast?.opType, cast?.attribute[0]?.i]).toEqual(["Cast", 1n]);
    }
  });

  test("keep large tensors in files of at most the given size", () => {
    const files = encoderOnnxFiles(randomEncoder("plain", WIDE), { name: "m.onnx", maxFileBytes: 600_000 });
    expect(files.slice(0, 3).map(({ name }) => name)).toEqual(["m.onnx", "m.onnx_data", "m.onnx_data_1"]);
    const sizes = files.map(({ pieces }) => pieces.reduce((sum, { length }) => sum + length, 0));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(600_000);
    const bytes = Buffer.concat(files[0]?.pieces ?? []);
    const external = fromBinary(ModelProtoSchema, bytes).graph?.initializer.filter(
      ({ dataLocation }) => dataLocation === TensorProto_DataLocation.EXTERNAL,
    );
    expect(external?.length).toBeGreaterThanOrEqual(8);
    expect(() =>
      encoderOnnxFiles(randomEncoder("plain", WIDE), { name: "m.onnx", maxFileBytes: 1000 }),
    ).toThrow(/a tensor of \d+ bytes does not fit into a file of at most 1000 bytes/);
  });

  test("are written from the encoder's own arrays", () => {
    const encoder = randomEncoder("plain", WIDE);
    const buffers = new Set(Object.values(encoder.weights).map(({ data }) => data.buffer));
    const [file] = encoderOnnxFiles(encoder, { name: "m.onnx" });
    const large = file?.pieces.filter(({ length }) => length > 10_000) ?? [];
    // Of two blocks: qkv, proj, fc1, fc2.
    expect(large.length).toBeGreaterThanOrEqual(8);
    expect(large.filter(({ buffer }) => !buffers.has(buffer as ArrayBuffer))).toEqual([]);
  });

  test("refuse half precision to weights beyond its range", () => {
    const encoder = randomEncoder("plain");
    const weight = encoder.weights["blocks.0.attn.proj.weight"];
    if (weight) weight.data[0] = 1e5;
    expect(() => encoderOnnx(encoder, { precision: "fp16" })).toThrow(
      /"plain" cannot be written in fp16: .*holds 100000, and float16 ends at 65504/,
    );
    const graph = makeGraph({ y: matmul(input("x", [1, 1]), constant([7e4], [1, 1])) });
    expect(() => toHalfPrecision(graph)).toThrow(GraphError);
  });
});
