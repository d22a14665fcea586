/** @file The names of PyTorch that its files refer to: what builds tensors, and constants. */

import {
  FormatError,
  PickleGlobal,
  type PickleGlobals,
  PickleObject,
  type PickleValue,
  quoted,
} from "../pickle/index.js";
import { TorchStorage, TorchTensor, torchDtypes } from "./torch-tensor.js";

/** Classes of typed storages, by the type they hold. */
const storageClasses: Readonly<Record<string, string>> = {
  DoubleStorage: "float64",
  FloatStorage: "float32",
  HalfStorage: "float16",
  BFloat16Storage: "bfloat16",
  LongStorage: "int64",
  IntStorage: "int32",
  ShortStorage: "int16",
  CharStorage: "int8",
  ByteStorage: "uint8",
  BoolStorage: "bool",
  ComplexFloatStorage: "complex64",
  ComplexDoubleStorage: "complex128",
  QInt8Storage: "qint8",
  QUInt8Storage: "quint8",
  QInt32Storage: "qint32",
};

const UNTYPED = ["torch.storage.UntypedStorage", "torch.UntypedStorage"];

/** The element type that a storage's class stands for; `undefined` when it has none. @throws FormatError for others. */
export function storageDtype(value: PickleValue | undefined): string | undefined {
  if (value instanceof PickleGlobal) {
    const dtype = storageClasses[value.type.replace(/^torch\.(cuda\.)?/, "")];
    if (dtype !== undefined) return dtype;
    if (UNTYPED.includes(value.type)) return undefined;
  }
  throw new FormatError("its pickle refers to a storage whose class is none of torch's");
}

function storageOf(value: PickleValue | undefined): TorchStorage {
  if (value instanceof TorchStorage) return value;
  throw new FormatError("its pickle makes a tensor without a storage");
}

function numbers(value: PickleValue | undefined): number[] {
  if (Array.isArray(value) && value.every((each) => typeof each === "number")) return value as number[];
  throw new FormatError("its pickle makes a tensor whose sizes are no numbers");
}

/** (storage, offset, size, strides, …) */
function tensor(
  [storage, offset, shape, strides]: readonly PickleValue[],
  dtype = storageOf(storage).dtype,
): TorchTensor {
  if (dtype === undefined) throw new FormatError("its pickle makes a tensor of a storage without a type");
  const layout = { dtype, offset: Number(offset), shape: numbers(shape), strides: numbers(strides) };
  return new TorchTensor(storageOf(storage), layout);
}

/** (storage, offset, size, strides, requires_grad, hooks, dtype, …): for types that have no storage class. */
function typedTensor(args: readonly PickleValue[]): TorchTensor {
  const type = args[6];
  const name = type instanceof PickleGlobal ? type.type.replace(/^torch\./, "") : "";
  if (!torchDtypes.includes(name))
    throw new FormatError("its pickle makes a tensor of a type that is none of torch's");
  return tensor(args, name);
}

/** `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor with attributes of its own. */
function subclass([rebuild, , args]: readonly PickleValue[]): PickleValue {
  const isRebuild = rebuild instanceof PickleGlobal && rebuild.type.startsWith("torch._utils._rebuild_");
  if (!isRebuild || !rebuild.make || !Array.isArray(args)) {
    throw new FormatError("its pickle makes a kind of tensor by something that makes none");
  }
  return rebuild.make(args);
}

function parameter([data]: readonly PickleValue[]): PickleValue {
  if (data instanceof TorchTensor) return data;
  throw new FormatError(`its pickle makes a parameter of ${quoted(String(data))}, expected a tensor`);
}

const made: Readonly<Record<string, (args: readonly PickleValue[]) => PickleValue>> = {
  "torch._utils._rebuild_tensor": (args) => tensor(args),
  "torch._utils._rebuild_tensor_v2": (args) => tensor(args),
  "torch._utils._rebuild_tensor_v3": typedTensor,
  "torch._utils._rebuild_parameter": parameter,
  "torch._utils._rebuild_parameter_with_state": parameter,
  "torch._tensor._rebuild_from_type_v2": subclass,
  "torch.nn.parameter.Parameter": parameter,
  "torch.Size": ([sizes]) => sizes ?? [],
  "torch.device": () => new PickleObject("torch.device"),
  "torch.serialization._get_layout": () => new PickleObject("torch.layout"),
};

const constants = [
  "torch.Tensor",
  ...torchDtypes.map((name) => `torch.${name}`),
  ...Object.keys(storageClasses).flatMap((name) => [`torch.${name}`, `torch.cuda.${name}`]),
  ...UNTYPED,
];

export const torchGlobals: PickleGlobals = new Map([
  ...Object.entries(made).map(([name, make]) => [name, new PickleGlobal(name, make)] as const),
  ...constants.map((name) => [name, new PickleGlobal(name)] as const),
]);
