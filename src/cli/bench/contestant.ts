/** @file A process that runs measured steps when asked, ours or a peer's: the parent's side of the line protocol. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { CommandError } from "../output.js";

/** Facts of the program, once it is warm. Ours gives more of them than a peer. */
export interface Facts {
  /** Trained numbers. */
  readonly parameters: number;
  /** Name and version of a peer's framework. */
  readonly peer?: string;
  readonly flops?: number;
  readonly buildSeconds?: number;
}

/** What `run K` answers. */
export interface Measurement {
  readonly milliseconds: readonly number[];
  readonly loss: number | null;
  /** Largest resident set since the process began, in MiB. */
  readonly peakMemoryMB: number;
  /** The same since it was warm; null where the system cannot tell. */
  readonly stepPeakMemoryMB: number | null;
}

const MAX_LOG = 4000;

export class Contestant {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #log = "";
  #failure: Error | undefined;

  private constructor(
    /** For messages. */
    readonly name: string,
    /** How the step is run, such as `eager`. */
    readonly mode: string,
    child: ChildProcess,
  ) {
    this.#child = child;
    if (!child.stdout || !child.stderr) throw new Error("internal: the process was started without pipes");
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#log = (this.#log + text).slice(-MAX_LOG);
    });
    child.on("error", (error) => {
      this.#failure = error;
    });
    // A process that has ended does not read on; the missing answer says so.
    child.stdin?.on("error", () => undefined);
  }

  /** Starts a program and waits until it is warm. @throws CommandError with what it printed when it ends instead. */
  static async start(
    name: string,
    mode: string,
    command: string,
    args: readonly string[],
  ): Promise<[Contestant, Facts]> {
    const contestant = new Contestant(name, mode, spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] }));
    try {
      return [contestant, (await contestant.#answer()) as Facts];
    } catch (error) {
      await contestant.close();
      throw error;
    }
  }

  async run(steps: number): Promise<Measurement> {
    return (await this.#ask(`run ${steps}`)) as Measurement;
  }

  /** Ours alone knows this: the share of the time in matrix products and convolutions. */
  async profile(
    steps: number,
  ): Promise<{ gemmFraction: number; millisecondsByOperator: Record<string, number> }> {
    return (await this.#ask(`profile ${steps}`)) as Awaited<ReturnType<Contestant["profile"]>>;
  }

  async close(): Promise<void> {
    const { exitCode, signalCode, pid } = this.#child;
    if (exitCode !== null || signalCode !== null || pid === undefined) return;
    const ended = once(this.#child, "exit");
    this.#child.stdin?.end("quit\n");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    await ended;
    clearTimeout(timer);
  }

  async #ask(line: string): Promise<unknown> {
    this.#child.stdin?.write(`${line}\n`);
    return this.#answer();
  }

  async #answer(): Promise<unknown> {
    const { value: line, done } = await this.#lines.next();
    if (done) {
      const end = await this.#end();
      const log = this.#log.trim().split("\n").slice(-5).join("\n  ");
      throw new CommandError(`${this.name} ended (${end})${log === "" ? "" : `; it printed:\n  ${log}`}`);
    }
    let answer: unknown;
    try {
      answer = JSON.parse(line);
    } catch (cause) {
      throw new CommandError(`${this.name} answered ${JSON.stringify(line)}, expected one JSON object`, {
        cause,
      });
    }
    const { error } = answer as { readonly error?: string };
    if (error !== undefined) throw new CommandError(`${this.name}: ${error}`);
    return answer;
  }

  async #end(): Promise<string> {
    const child = this.#child;
    if (this.#failure) return this.#failure.message;
    if (child.exitCode === null && child.signalCode === null) {
      await Promise.race([once(child, "exit"), once(child, "error")]).catch(() => undefined);
    }
    if (this.#failure) return (this.#failure as Error).message;
    return child.signalCode ? `signal ${child.signalCode}` : `exit code ${child.exitCode}`;
  }
}
