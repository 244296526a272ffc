// The one place that asks the server. Shapes are those of the OpenAPI document.
import type { components } from "./schema";

export type Schemas = components["schemas"];

export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** A path with its parts encoded: path`/ui/runs/${dag}/${run}`. */
export function path(words: TemplateStringsArray, ...values: (string | number)[]): string {
  return words.reduce((text, word, at) => text + word + (at < values.length ? encodeURIComponent(String(values[at])) : ""), "");
}

function said(body: unknown, fallback: string): string {
  const detail = (body as { detail?: unknown } | null)?.detail;
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) return detail.map((one: { msg?: string; loc?: unknown[] }) => [one.loc?.slice(1).join("."), one.msg].filter(Boolean).join(": ")).join("; ");
  return (detail as { message?: string } | undefined)?.message ?? fallback;
}

export async function ask(url: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { cache: "no-store", ...init, headers: { accept: "application/json", "updraft-client": "ui", ...init.headers } });
  } catch {
    throw new ApiError(0, "The server does not answer. It is tried again by itself.");
  }
  if (response.ok) return response;
  if (response.status === 401) {
    window.location.assign(`/auth/login?next=${encodeURIComponent(window.location.pathname + window.location.search)}`);
  }
  throw new ApiError(response.status, said(await response.json().catch(() => null), `${response.status} ${response.statusText}`));
}

export async function get<T>(url: string, signal?: AbortSignal, cache: RequestCache = "no-store"): Promise<T> {
  return (await ask(url, signal ? { signal, cache } : { cache })).json() as Promise<T>;
}

/** `?a=1&b=2` of what is there. */
export function query(values: Record<string, string | number | undefined>): string {
  const given = Object.entries(values).flatMap(([name, value]) => (value === undefined || value === "" ? [] : [[name, String(value)]]));
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

export async function send<T>(method: "POST" | "PATCH" | "PUT" | "DELETE", url: string, body?: unknown): Promise<T> {
  const response = await ask(url, body === undefined ? { method } : { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  return (response.status === 204 ? undefined : await response.json()) as T;
}
