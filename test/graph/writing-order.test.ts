/** @file The order in which nodes are written, and what ONNX Runtime's own sorting makes of it. */

import { expect, test } from "vitest";
import {
  concat,
  type Graph,
  grad,
  input,
  makeGraph,
  matmul,
  type Node,
  nodesOf,
  reshape,
  rewrite,
  square,
  sum,
  type Tensor,
  tanh,
  writingOrder,
} from "#src/graph/index.js";

const LAYERS = 5;

/** A deep network, its gradients and, last among the outputs, their norms. */
function network(): { graph: Graph; gradients: Tensor[] } {
  const weights = Array.from({ length: LAYERS }, (_, i) => input(`w${i}`, [4, 4]));
  let x: Tensor = input("x", [8, 4]);
  for (const weight of weights) x = tanh(matmul(x, weight));
  const gradients = grad(sum(square(x)), weights);
  const named = Object.fromEntries(gradients.map((gradient, i) => [`g${i}`, gradient]));
  const norms = concat(
    gradients.map((gradient) => reshape(sum(square(gradient)), [1])),
    0,
  );
  // As a pass does: every other sum is another node, younger than all that was traced.
  let sums = 0;
  const graph = rewrite(makeGraph({ ...named, norms }), (node, inputs) =>
    node.operator === "sum" && node.outputs[0]?.rank === 0 && sums++ % 2 === 0
      ? node.rebuild(inputs)
      : undefined,
  );
  return { graph, gradients: gradients.map((_, i) => graph.outputs[`g${i}`] as Tensor) };
}

/**
 * onnxruntime/core/graph/graph_viewer.cc: depth first from the nodes without consumers, of these and of a node's
 * operands the one with the highest index first; a node's index is its place in the file.
 */
function runtimeOrder(written: readonly Node[]): Node[] {
  const index = new Map(written.map((node, i) => [node, i]));
  const byIndex = (a: Node, b: Node) => (index.get(a) as number) - (index.get(b) as number);
  const consumed = new Set(written.flatMap(({ inputs }) => inputs.map(({ producer }) => producer)));
  const seen = new Set<Node>();
  const order: Node[] = [];
  const visit = (node: Node): void => {
    if (seen.has(node)) return;
    seen.add(node);
    const operands = [...new Set(node.inputs.map(({ producer }) => producer))].sort(byIndex).reverse();
    for (const operand of operands) visit(operand);
    order.push(node);
  };
  for (const leaf of written.filter((node) => !consumed.has(node)).reverse()) visit(leaf);
  return order;
}

test("operands are written before what reads them, each node once", () => {
  const { graph } = network();
  const written = writingOrder(graph);
  expect(new Set(written)).toEqual(new Set(nodesOf(graph)));
  expect(written).toHaveLength(nodesOf(graph).length);
  written.forEach((node, i) => {
    for (const { producer } of node.inputs) expect(written.indexOf(producer)).toBeLessThan(i);
  });
});

test("ONNX Runtime computes the last layer's gradient first, and each before the backward pass goes on", () => {
  const { graph, gradients } = network();
  const order = runtimeOrder(writingOrder(graph));
  const places = gradients.map(({ producer }) => order.indexOf(producer));
  expect(places).toEqual([...places].sort((a, b) => b - a));
  // What is between two layers' gradients is one layer's backward pass, not all of them.
  const gaps = places.slice(1).map((place, i) => (places[i] as number) - place);
  expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(2);
});
