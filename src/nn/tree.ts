/**
 * @file Parameter trees: nested plain objects and arrays whose leaves have a shape. A layer's interface is generic
 * in its leaf, so one interface describes its parameters' specifications, symbolic tensors and values on the host.
 */

import type { Shape, Tensor } from "../graph/index.js";

/** What makes a value a leaf. */
export interface Shaped {
  readonly shape: Shape;
}

/**
 * A tree whose leaves are `Leaf`. Interfaces have no index signature, so the type cannot say more of a node than
 * that it is an object; the functions below check nodes while they walk.
 */
export type Tree<Leaf extends Shaped> = Leaf | object;

/** The union of a tree's leaf types. */
export type LeafOf<T> = T extends Shaped
  ? T
  : T extends readonly (infer Item)[]
    ? LeafOf<Item>
    : T extends object
      ? { [Key in keyof T]-?: LeafOf<Exclude<T[Key], undefined>> }[keyof T]
      : never;

/** The same tree with other leaves: `TreeOf<Linear<ParameterSpec>, Tensor>` is `Linear<Tensor>`. */
export type TreeOf<T, Leaf> = { [Key in keyof T]: NodeOf<T[Key], Leaf> };

type NodeOf<Node, Leaf> = Node extends Shaped ? Leaf : TreeOf<Node, Leaf>;

/** The tree of symbolic tensors that belongs to a tree of specifications. */
export type TracedTree<Spec> = TreeOf<Spec, Tensor>;

function isLeaf(node: object): node is Shaped {
  return "shape" in node && Array.isArray(node.shape);
}

/**
 * The same tree with each leaf replaced.
 * @param map Given the leaf and its name, e.g. `blocks.0.attn.qkv.weight`.
 * @throws TypeError when a node is no object, array or leaf, naming it.
 */
export function mapTree<T extends object, To>(
  tree: T,
  map: (leaf: LeafOf<T>, name: string) => To,
): TreeOf<T, To> {
  const walk = (node: unknown, name: string): unknown => {
    if (typeof node !== "object" || node === null) {
      throw new TypeError(
        `"${name}" is ${String(node)}; a tree's nodes are objects, arrays and leaves with a shape`,
      );
    }
    if (isLeaf(node)) return map(node as LeafOf<T>, name);
    const inner = (child: unknown, key: string | number) =>
      walk(child, name === "" ? `${key}` : `${name}.${key}`);
    if (Array.isArray(node)) return node.map(inner);
    const present = Object.entries(node).filter(([, child]) => child !== undefined);
    return Object.fromEntries(present.map(([key, child]) => [key, inner(child, key)]));
  };
  return walk(tree, "") as TreeOf<T, To>;
}

/** A tree's leaves by name, in the tree's order: names are the path's keys joined with ".". */
export function flattenTree<T extends object>(tree: T): Record<string, LeafOf<T>> {
  const leaves: Record<string, LeafOf<T>> = {};
  mapTree(tree, (leaf, name) => {
    leaves[name] = leaf;
  });
  return leaves;
}

/**
 * A tree shaped like `tree` with the leaves of `byName`.
 * @throws TypeError when a name is missing.
 */
export function treeLike<T extends object, Leaf>(
  tree: T,
  byName: Readonly<Record<string, Leaf>>,
): TreeOf<T, Leaf> {
  return mapTree(tree, (_, name) => {
    const leaf = byName[name];
    if (leaf === undefined) throw new TypeError(`no value for the parameter "${name}"; the tree needs one`);
    return leaf;
  });
}
