/**
 * @file An ONNX model as the bytes of its files. The contents of large tensors are handed on where they are, never
 * copied: a model of a gigabyte takes no second one to be written. A model that does not fit into one file (a protobuf
 * message ends below 2 GiB) keeps them in files beside it (ONNX's external data), named as transformers.js finds them.
 */

import { create, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from "onnx-buf";

/** A file of a model: its bytes are the pieces one after the other. */
export interface OnnxFile {
  readonly name: string;
  readonly pieces: readonly Uint8Array[];
}

/** A tensor without its contents, and its contents. */
export interface Initializer {
  readonly tensor: TensorProto;
  readonly bytes: Uint8Array;
}

/** Field numbers of onnx.proto. */
const MODEL_GRAPH = ModelProtoSchema.field.graph.number;
const GRAPH_INITIALIZER = GraphProtoSchema.field.initializer.number;
const TENSOR_RAW_DATA = TensorProtoSchema.field.rawData.number;

/** Contents below this many bytes stay in the model in any case: shapes, scalars. */
const LEAST_EXTERNAL_BYTES = 1024;

/** External data begin at multiples of this, so that a runtime can map them. */
const ALIGNMENT = 4096;

/** Field number and length of a field of `length` bytes that follow. */
function fieldHead(field: number, length: number): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish();
}

const lengthOf = (pieces: readonly Uint8Array[]): number =>
  pieces.reduce((total, { length }) => total + length, 0);

/** A message and fields behind it, which protobuf reads as one message. */
function field(number: number, ...content: readonly Uint8Array[]): Uint8Array[] {
  return [fieldHead(number, lengthOf(content)), ...content];
}

const binary = <Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Uint8Array =>
  toBinary(schema, message);

function modelPieces(
  model: ModelProto,
  graph: GraphProto,
  initializers: readonly (readonly Uint8Array[])[],
): Uint8Array[] {
  const fields = initializers.flatMap((content) => field(GRAPH_INITIALIZER, ...content));
  return [binary(ModelProtoSchema, model), ...field(MODEL_GRAPH, binary(GraphProtoSchema, graph), ...fields)];
}

const inline = ({ tensor, bytes }: Initializer): Uint8Array[] => [
  binary(TensorProtoSchema, tensor),
  ...field(TENSOR_RAW_DATA, bytes),
];

/**
 * The files of a model.
 * @param model Without its graph. @param graph Without its initializers.
 * @param name Of the model's file; its data, where they need files of their own, are in `NAME_data`, `NAME_data_1`, …
 * @param maxBytes The most that one file may hold.
 * @throws RangeError when one tensor alone is larger.
 */
export function modelFiles(
  model: ModelProto,
  graph: GraphProto,
  initializers: readonly Initializer[],
  name: string,
  maxBytes: number,
): OnnxFile[] {
  const whole = modelPieces(model, graph, initializers.map(inline));
  if (lengthOf(whole) <= maxBytes) return [{ name, pieces: whole }];
  const data: { readonly name: string; readonly pieces: Uint8Array[]; length: number }[] = [];
  const place = ({ tensor, bytes }: Initializer): Uint8Array[] => {
    if (bytes.length < LEAST_EXTERNAL_BYTES) return inline({ tensor, bytes });
    if (bytes.length > maxBytes) {
      throw new RangeError(
        `a tensor of ${bytes.length} bytes does not fit into a file of at most ${maxBytes} bytes`,
      );
    }
    let file = data.at(-1);
    let offset = file === undefined ? 0 : Math.ceil(file.length / ALIGNMENT) * ALIGNMENT;
    if (file === undefined || offset + bytes.length > maxBytes) {
      offset = 0;
      file = { name: `${name}_data${data.length === 0 ? "" : `_${data.length}`}`, pieces: [], length: 0 };
      data.push(file);
    }
    file.pieces.push(new Uint8Array(offset - file.length), bytes);
    file.length = offset + bytes.length;
    const where = { location: file.name, offset: String(offset), length: String(bytes.length) };
    const entries = Object.entries(where).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    );
    const external = { dataLocation: TensorProto_DataLocation.EXTERNAL, externalData: entries };
    return [binary(TensorProtoSchema, { ...tensor, ...external })];
  };
  const pieces = modelPieces(model, graph, initializers.map(place));
  return [{ name, pieces }, ...data.map(({ name: file, pieces: parts }) => ({ name: file, pieces: parts }))];
}

/** The bytes of a file at once. */
export function joined({ pieces }: OnnxFile): Uint8Array {
  const bytes = new Uint8Array(lengthOf(pieces));
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}
