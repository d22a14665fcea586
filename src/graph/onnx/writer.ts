/** @file Writes a graph as an ONNX model (protobuf by onnx-buf). */

import { create } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_SequenceSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { type DType, type HostArray, hostArray } from "../dtype.js";
import { GraphError } from "../errors.js";
import { type Graph, writingOrder } from "../graph.js";
import { inputName } from "../operators/source.js";
import { type Shape, sizeOf } from "../shape.js";
import { at, type Tensor, type TensorType } from "../tensor.js";
import type { Attribute, EmitOptions, Emitter, Target } from "./emitter.js";
import { type Initializer, joined, modelFiles, type OnnxFile } from "./model-file.js";

/** The newest operator set that every provider we target implements. */
const OPSET = 21n;
const IR_VERSION = 10n;

const dataTypes: Readonly<Record<DType, DataType>> = {
  float32: DataType.FLOAT,
  float64: DataType.DOUBLE,
  float16: DataType.FLOAT16,
  int64: DataType.INT64,
  int32: DataType.INT32,
  int8: DataType.INT8,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
};

export interface OnnxOptions {
  readonly target: Target;
  /**
   * Makes the leading dimension free: the graph was traced with this (prime) batch size, and every dimension that
   * is a multiple of it is written as one that follows the first input's.
   */
  readonly batchStandIn?: number;
  /** Adds an empty sequence as the first output, under this name. */
  readonly emptySequence?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Of the largest file: a protobuf message ends below 2 GiB, and so do the buffers of browsers. */
const MAX_FILE_BYTES = 2 ** 31 - 2 ** 20;

export interface OnnxFileOptions extends OnnxOptions {
  /** Of the model's file. */
  readonly name: string;
  /** What one file may hold; a model that is larger keeps its tensors in files beside it. */
  readonly maxFileBytes?: number;
}

/** The bytes of an ONNX model that computes `graph`; input and output names are the graph's. */
export function writeOnnx(graph: Graph, options: OnnxOptions): Uint8Array {
  return joined(
    at(writeOnnxFiles(graph, { ...options, name: "", maxFileBytes: Number.POSITIVE_INFINITY }), 0),
  );
}

/**
 * The files of an ONNX model that computes `graph`, the model itself first. Their pieces are the graph's own constants,
 * not copies: they must not change until they are written.
 */
export function writeOnnxFiles(
  graph: Graph,
  { name, maxFileBytes = MAX_FILE_BYTES, ...options }: OnnxFileOptions,
): OnnxFile[] {
  const builder = new Builder(options, graph.inputs[0]);
  const names = new Map<Tensor, string>();
  for (const node of writingOrder(graph)) {
    const inputs = node.inputs.map((input) => nameOf(names, input));
    const lowered =
      node.operator === "input" ? [inputName(at(node.outputs, 0))] : node.lower(builder, inputs);
    node.outputs.forEach((output, i) => {
      const name = lowered[i];
      if (name !== undefined) names.set(output, name);
    });
  }
  const outputs = Object.entries(graph.outputs).map(([output, tensor]) => {
    builder.publish(nameOf(names, tensor), output);
    return valueInfo(output, tensor, options.batchStandIn);
  });
  if (options.emptySequence !== undefined) {
    const value = builder.node("SequenceEmpty", [], { dtype: { int: dataTypes.float32 } });
    builder.publish(value, options.emptySequence);
    outputs.unshift(sequenceInfo(options.emptySequence));
  }
  const model = create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: "inbetween",
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: "", version: OPSET }),
      ...(builder.usesContrib
        ? [create(OperatorSetIdProtoSchema, { domain: "com.microsoft", version: 1n })]
        : []),
    ],
    metadataProps: Object.entries(options.metadata ?? {}).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    ),
  });
  const body = create(GraphProtoSchema, {
    name: "inbetween",
    node: builder.protoNodes,
    input: graph.inputs.map((tensor) => valueInfo(inputName(tensor), tensor, options.batchStandIn)),
    output: outputs,
  });
  return modelFiles(model, body, builder.usedInitializers(), name, maxFileBytes);
}

function nameOf(names: ReadonlyMap<Tensor, string>, tensor: Tensor): string {
  const name = names.get(tensor);
  if (name === undefined) throw new GraphError(`internal: ${tensor} has no value in the lowered graph`);
  return name;
}

/** A sequence of float32 tensors. */
function sequenceInfo(name: string) {
  const element = create(TypeProtoSchema, {
    value: { case: "tensorType", value: create(TypeProto_TensorSchema, { elemType: dataTypes.float32 }) },
  });
  const sequence = create(TypeProto_SequenceSchema, { elemType: element });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: "sequenceType", value: sequence } }),
  });
}

function valueInfo(name: string, { dtype, shape }: TensorType, batchStandIn: number | undefined) {
  const dim = shape.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        batchStandIn !== undefined && size !== 0 && size % batchStandIn === 0
          ? { case: "dimParam", value: size === batchStandIn ? "batch" : `batch*${size / batchStandIn}` }
          : { case: "dimValue", value: BigInt(size) },
    }),
  );
  const tensorType = create(TypeProto_TensorSchema, {
    elemType: dataTypes[dtype],
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: "tensorType", value: tensorType } }),
  });
}

class Builder implements Emitter {
  readonly protoNodes: NodeProto[] = [];
  readonly initializers: Initializer[] = [];
  readonly target: Target;
  readonly batchStandIn?: number;
  usesContrib = false;
  readonly #constants = new Map<string, string>();
  readonly #bulky = new Map<HostArray, Map<string, string>>();
  readonly #first: Tensor | undefined;
  /** Output names by the internal names that they replaced. */
  readonly #published = new Map<string, string>();
  #batch: string | undefined;
  #count = 0;

  constructor(options: OnnxOptions, first: Tensor | undefined) {
    this.target = options.target;
    if (options.batchStandIn !== undefined) this.batchStandIn = options.batchStandIn;
    this.#first = first;
  }

  /** A constant whose every reader was lowered to something else is left out. */
  usedInitializers(): Initializer[] {
    const read = new Set(this.protoNodes.flatMap((node) => node.input));
    return this.initializers.filter(({ tensor }) => read.has(tensor.name));
  }

  nodes(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    { domain, outputs = 1 }: EmitOptions = {},
  ): readonly string[] {
    if (domain) this.usesContrib = true;
    const id = this.#count++;
    const names = Array.from({ length: outputs }, (_, i) => `t${id}${i === 0 ? "" : `_${i}`}`);
    this.protoNodes.push(
      create(NodeProtoSchema, {
        name: `${type}_${id}`,
        opType: type,
        domain: domain ?? "",
        input: [...inputs],
        output: names,
        attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
      }),
    );
    return names;
  }

  node(
    type: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, Attribute>>,
    options?: EmitOptions,
  ): string {
    return at(this.nodes(type, inputs, attributes, options), 0);
  }

  constant(dtype: DType, shape: Shape, data: HostArray): string {
    if (data.length !== sizeOf(shape)) {
      throw new GraphError(`constant: ${data.length} values do not fill the shape [${shape.join(", ")}]`);
    }
    const type = `${dtype}[${shape.join()}]`;
    // Values tell small constants apart, the array itself large ones: one array may stand for several shapes.
    const same = data.length <= 64 ? this.#constants : (this.#bulky.get(data) ?? new Map<string, string>());
    const key = data.length <= 64 ? type + data.join() : type;
    const known = same.get(key);
    if (known !== undefined) return known;
    const name = `c${this.initializers.length}`;
    this.initializers.push({
      tensor: create(TensorProtoSchema, { name, dataType: dataTypes[dtype], dims: shape.map(BigInt) }),
      bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    });
    same.set(key, name);
    if (data.length > 64) this.#bulky.set(data, same);
    return name;
  }

  ints(values: readonly number[]): string {
    return this.constant("int64", [values.length], hostArray("int64", values));
  }

  scalar(dtype: DType, value: number): string {
    return this.constant(dtype, [], hostArray(dtype, [value]));
  }

  shape(shape: Shape): string {
    const standIn = this.batchStandIn;
    if (standIn === undefined || !shape.some((dim) => dim !== 0 && dim % standIn === 0))
      return this.ints(shape);
    const parts = shape.map((dim) => {
      if (dim === 0 || dim % standIn !== 0) return this.ints([dim]);
      return dim === standIn
        ? this.#batchSize()
        : this.node("Mul", [this.#batchSize(), this.ints([dim / standIn])]);
    });
    return parts.length === 1 ? at(parts, 0) : this.node("Concat", parts, { axis: { int: 0 } });
  }

  /** The free batch size at run time, int64[1]. */
  #batchSize(): string {
    if (!this.#first) throw new GraphError("a free batch dimension needs an input to take its size from");
    this.#batch ??= this.node("Shape", [inputName(this.#first)], { start: { int: 0 }, end: { int: 1 } });
    return this.#batch;
  }

  /** Gives a value the name of a graph output: renames its producer's output, or copies an input or constant. */
  publish(internal: string, name: string): void {
    const published = this.#published.get(internal);
    const value = published ?? internal;
    const producer = this.protoNodes.find((node) => node.output.includes(value));
    if (!producer || published !== undefined) {
      this.protoNodes.push(
        create(NodeProtoSchema, {
          name: `Identity_${name}`,
          opType: "Identity",
          input: [value],
          output: [name],
        }),
      );
      return;
    }
    this.#published.set(internal, name);
    for (const node of this.protoNodes) {
      node.input = node.input.map((other) => (other === value ? name : other));
      node.output = node.output.map((other) => (other === value ? name : other));
    }
  }
}

function attributeProto(name: string, value: Attribute): AttributeProto {
  if ("int" in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value.int) });
  }
  if ("float" in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  }
  if ("string" in value) {
    const s = new TextEncoder().encode(value.string);
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s });
  }
  if ("ints" in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.ints.map(BigInt) });
  }
  return create(AttributeProtoSchema, { name, type: AttributeType.FLOATS, floats: [...value.floats] });
}
