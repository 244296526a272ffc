// A form made from params: a field for each, by its JSON Schema, with what is wrong said at the field. Texts of the author stay text.
import { type ReactNode, useState } from "react";
import { Field } from "../components/bits";
import { useZone } from "../lib/preferences";
import "./params.css";

export interface Schema {
  type?: string | string[]; title?: string; description?: string; description_md?: string; section?: string; enum?: unknown[]; const?: unknown; examples?: unknown[];
  values_display?: Record<string, string>; format?: string; minimum?: number; maximum?: number; exclusiveMinimum?: number; exclusiveMaximum?: number; multipleOf?: number;
  minLength?: number; maxLength?: number; pattern?: string; items?: Schema; minItems?: number; maxItems?: number; uniqueItems?: boolean; writeOnly?: boolean;
}
export interface Param { value: unknown; description?: string | null; schema: Schema }
export type Params = [string, Param][];
type Conf = Record<string, unknown>;
/** What a field holds: its text, whether it is checked, or which of its choices are. */
type Held = string | boolean | string[];

const KINDS: Record<string, string> = { boolean: "boolean", number: "number", string: "string" };
const typesOf = ({ schema, value }: Param): string[] => {
  if (schema.type) return [schema.type].flat();
  if (value === null || value === undefined) return ["string", "null"];
  return [Array.isArray(value) ? "array" : (KINDS[typeof value] ?? "object")];
};
const typeOf = (param: Param): string => typesOf(param).find((type) => type !== "null") ?? "null";
const mayBeNull = (param: Param): boolean => typesOf(param).includes("null");

type Kind = "const" | "choice" | "choices" | "boolean" | "number" | "lines" | "json" | "time" | "text" | "multiline";
function kindOf(param: Param): Kind {
  const { schema } = param;
  if (schema.const !== undefined) return "const";
  if (schema.enum) return "choice";
  const type = typeOf(param);
  const choices = schema.items?.enum ?? (type === "array" ? schema.examples : undefined);
  if (type === "array" && choices?.every((one) => typeof one !== "object")) return "choices";
  if (type === "boolean") return mayBeNull(param) ? "choice" : "boolean";
  if (type === "integer" || type === "number") return "number";
  if (type === "array") return [schema.items?.type ?? "string"].flat()[0] === "string" && (!Array.isArray(param.value) || param.value.every((one) => typeof one === "string")) ? "lines" : "json";
  if (type === "object" || type === "null") return "json";
  if (schema.format === "date-time") return "time";
  return schema.format === "multiline" ? "multiline" : "text";
}
const choicesOf = (param: Param): unknown[] => {
  const all = param.schema.enum ?? param.schema.items?.enum ?? (typeOf(param) === "boolean" ? [true, false] : (param.schema.examples ?? []));
  return kindOf(param) === "choice" && mayBeNull(param) && !all.includes(null) ? [null, ...all] : all;
};
const named = (param: Param, choice: unknown): string => param.schema.values_display?.[String(choice)] ?? (choice === null ? "(nothing)" : typeof choice === "object" ? JSON.stringify(choice) : String(choice));

const pad = (n: number) => String(n).padStart(2, "0");
/** What a browser's field for a time holds, in this zone. */
function localTime(value: unknown, zone: string): string {
  const at = new Date(String(value ?? ""));
  if (!value || Number.isNaN(at.getTime())) return "";
  if (zone === "UTC") return at.toISOString().slice(0, 19);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

function hold(param: Param, value: unknown, zone: string): Held {
  switch (kindOf(param)) {
    case "boolean": return value === true;
    case "choice": return String(choicesOf(param).findIndex((one) => JSON.stringify(one) === JSON.stringify(value ?? null)));
    case "choices": return (Array.isArray(value) ? value : []).map(String);
    case "lines": return (Array.isArray(value) ? value : []).join("\n");
    case "json": return value === null || value === undefined ? "" : JSON.stringify(value, null, 2);
    case "time": return localTime(value, zone);
    default: return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? "");
  }
}

/** What a field means, or what is wrong with it, thrown. */
function read(param: Param, held: Held, zone: string): unknown {
  const { schema } = param;
  const kind = kindOf(param);
  const fail = (words: string): never => { throw new Error(words); };
  if (kind === "const") return schema.const;
  if (kind === "boolean") return held === true;
  if (kind === "choice") {
    const found = choicesOf(param)[Number(held)];
    return held === "-1" || found === undefined ? fail("choose one") : found;
  }
  const text = typeof held === "string" ? held : "";
  const sized = (list: unknown[]) => {
    if (schema.minItems !== undefined && list.length < schema.minItems) fail(`at least ${schema.minItems} are needed`);
    if (schema.maxItems !== undefined && list.length > schema.maxItems) fail(`at most ${schema.maxItems} are allowed`);
    if (schema.uniqueItems && new Set(list.map((one) => JSON.stringify(one))).size < list.length) fail("each may be there once");
    return list;
  };
  if (kind === "choices") return sized(choicesOf(param).filter((one) => Array.isArray(held) && held.includes(String(one))));
  if (text.trim() === "" && mayBeNull(param)) return null;
  if (kind === "lines") return sized(text.split("\n").map((line) => line.trim()).filter(Boolean));
  if (kind === "json") {
    if (text.trim() === "") return typeOf(param) === "array" ? sized([]) : typeOf(param) === "null" ? null : fail("a value is needed: { … }");
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      return fail(`this is no JSON: ${(error as Error).message}`);
    }
    if (typeOf(param) === "array") return Array.isArray(value) ? sized(value) : fail("a list is needed: [ … ]");
    return typeOf(param) !== "object" || (typeof value === "object" && value !== null && !Array.isArray(value)) ? value : fail("an object is needed: { … }");
  }
  if (kind === "number") {
    const number = Number(text);
    if (text.trim() === "" || !Number.isFinite(number)) fail("a number is needed");
    if (typeOf(param) === "integer" && !Number.isInteger(number)) fail("a whole number is needed");
    if (schema.minimum !== undefined && number < schema.minimum) fail(`it must be at least ${schema.minimum}`);
    if (schema.maximum !== undefined && number > schema.maximum) fail(`it must be at most ${schema.maximum}`);
    if (schema.exclusiveMinimum !== undefined && number <= schema.exclusiveMinimum) fail(`it must be more than ${schema.exclusiveMinimum}`);
    if (schema.exclusiveMaximum !== undefined && number >= schema.exclusiveMaximum) fail(`it must be less than ${schema.exclusiveMaximum}`);
    if (schema.multipleOf && Math.abs(number / schema.multipleOf - Math.round(number / schema.multipleOf)) > 1e-9) fail(`it must be a multiple of ${schema.multipleOf}`);
    return number;
  }
  if (kind === "time") {
    const at = new Date(zone === "UTC" ? `${text}Z` : text);
    return text === "" || Number.isNaN(at.getTime()) ? fail("a date and a time are needed") : at.toISOString().replace(".000Z", "Z");
  }
  // A default that is missing must be given; what is empty by choice may stay so.
  const isTime = schema.format === "date" || schema.format === "time";
  if (text === "" && (isTime || param.value === null || param.value === undefined || (schema.minLength ?? 0) > 0)) fail("this is needed");
  if (schema.format === "date" && !/^\d{4}-\d{2}-\d{2}$/.test(text)) fail("a date is needed");
  const length = [...text].length;
  if (schema.minLength !== undefined && length < schema.minLength) fail(`at least ${schema.minLength} characters are needed`);
  if (schema.maxLength !== undefined && length > schema.maxLength) fail(`at most ${schema.maxLength} characters are allowed`);
  if (schema.pattern) {
    let pattern: RegExp | undefined;
    try {
      pattern = new RegExp(schema.pattern, "u");
    } catch {
      // A pattern of Python that this browser does not know: the server has the last word.
    }
    if (pattern && !pattern.test(text)) fail(`it must look like ${schema.pattern}`);
  }
  return text;
}

/** Names of secrets, as the server knows them. Who looks over a shoulder should not read one. */
const SECRET = /access_?key|api_?key|token|authorization|credential|passphrase|passw|private_?key|secret/i;

export interface ParamsForm {
  fields: ReactNode;
  /** What is in it; nothing, when something is wrong, which the fields say then. */
  take: () => Conf | undefined;
  /** Says what the server found wrong. True: it is about one of the fields. */
  blame: (message: string) => boolean;
}

const JSON_KEY = "\u0000json";
const OTHERS = "\u0000others";

/** The form. `conf` is what it begins with, where that is not the defaults. */
export function useParamsForm(params: Params, conf?: Conf | null): ParamsForm {
  const zone = useZone();
  const others = Object.fromEntries(Object.entries(conf ?? {}).filter(([name]) => !params.some(([own]) => own === name)));
  const begin = (given: Conf | null | undefined) => Object.fromEntries(params.map(([name, param]) => [name, hold(param, given && name in given ? given[name] : param.value, zone)]));
  const [held, setHeld] = useState<Record<string, Held>>(() => begin(conf));
  const [rest, setRest] = useState(() => (Object.keys(others).length ? JSON.stringify(others, null, 2) : ""));
  const [json, setJson] = useState<string | undefined>(() => (params.length === 0 && Object.keys(conf ?? {}).length ? JSON.stringify(conf, null, 2) : undefined));
  const [wrong, setWrong] = useState<Record<string, string>>({});
  const asObject = (text: string): Conf => {
    const value = JSON.parse(text.trim() || "{}") as unknown;
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("an object is needed: { … }");
    return value as Conf;
  };
  const take = (): Conf | undefined => {
    const bad: Record<string, string> = {};
    let found: Conf = {};
    const attempt = (name: string, act: () => void) => {
      try {
        act();
      } catch (error) {
        bad[name] = (error as Error).message;
      }
    };
    if (json !== undefined) attempt(JSON_KEY, () => { found = asObject(json); });
    else {
      if (rest) attempt(OTHERS, () => { found = asObject(rest); });
      for (const [name, param] of params) attempt(name, () => { found[name] = read(param, held[name] ?? "", zone); });
    }
    setWrong(bad);
    const [first] = Object.keys(bad);
    if (first === undefined) return found;
    // After the words are drawn, so that they are read out with the field.
    window.setTimeout(() => document.querySelector<HTMLElement>("[data-params] [aria-invalid='true']")?.focus());
    return undefined;
  };
  const blame = (message: string): boolean => {
    const found = /^Invalid input for param (.+?): (.*)$/s.exec(message);
    if (!found || json !== undefined || !params.some(([name]) => name === found[1])) return false;
    setWrong({ [found[1] ?? ""]: found[2] ?? "" });
    return true;
  };
  const toJson = () => {
    const now = take();
    if (now) setJson(JSON.stringify(now, null, 2));
  };
  const fromJson = () => {
    try {
      const given = asObject(json ?? "");
      setHeld(begin(given));
      const more = Object.fromEntries(Object.entries(given).filter(([name]) => !params.some(([own]) => own === name)));
      setRest(Object.keys(more).length ? JSON.stringify(more, null, 2) : "");
      setWrong({});
      setJson(undefined);
    } catch (error) {
      setWrong({ [JSON_KEY]: (error as Error).message });
    }
  };
  const sections = new Map<string, Params>();
  for (const one of params) {
    const section = one[1].schema.section ?? "";
    sections.set(section, [...(sections.get(section) ?? []), one]);
  }
  const field = ([name, param]: [string, Param]) => (
    <ParamField key={name} name={name} param={param} held={held[name] ?? ""} error={wrong[name]} change={(value) => { setHeld({ ...held, [name]: value }); if (wrong[name]) setWrong({ ...wrong, [name]: "" }); }} />
  );
  const fields = (
    <div data-params="">
      {json !== undefined ? (
        <Field label="Configuration as JSON" error={wrong[JSON_KEY]}>{(props) => <textarea {...props} rows={10} spellCheck={false} value={json} onChange={(event) => setJson(event.target.value)} />}</Field>
      ) : (
        <>
          {params.length === 0 && <p className="quiet">This DAG has no params.</p>}
          {[...sections].map(([section, own]) => (section ? <fieldset key={section}><legend>{section}</legend>{own.map(field)}</fieldset> : own.map(field)))}
          {rest !== "" && <Field label="Values that are no params" hint="JSON" error={wrong[OTHERS]}>{(props) => <textarea {...props} rows={4} spellCheck={false} value={rest} onChange={(event) => setRest(event.target.value)} />}</Field>}
        </>
      )}
      <p><button type="button" className="link" onClick={json === undefined ? toJson : fromJson}>{json === undefined ? "Edit as JSON" : "Back to the form"}</button></p>
    </div>
  );
  return { fields, take, blame };
}

function ParamField({ name, param, held, error, change }: { name: string; param: Param; held: Held; error: string | undefined; change: (value: Held) => void }) {
  const { schema } = param;
  const kind = kindOf(param);
  const label = schema.title ?? name;
  const words = param.description ?? schema.description ?? schema.description_md;
  const hint = [schema.title && schema.title !== name ? name : "", words, kind === "lines" ? "One in a line" : "", kind === "json" ? "JSON" : ""].filter(Boolean).join(" · ");
  if (kind === "choices") {
    const chosen = Array.isArray(held) ? held : [];
    return (
      <fieldset className="choices">
        <legend>{label}</legend>
        {choicesOf(param).map((choice) => (
          <label key={String(choice)} className="inline"><input type="checkbox" name={name} aria-invalid={Boolean(error)} checked={chosen.includes(String(choice))} onChange={(event) => change(event.target.checked ? [...chosen, String(choice)] : chosen.filter((one) => one !== String(choice)))} /> {named(param, choice)}</label>
        ))}
        {(error || hint) && <p className={error ? "wrong" : "quiet hint"}>{error || hint}</p>}
      </fieldset>
    );
  }
  return (
    <Field label={label} hint={hint && <span className="hint">{hint}</span>} error={error || undefined}>
      {(props) => {
        const text = typeof held === "string" ? held : "";
        const typed = { ...props, name, value: text, onChange: (event: { target: { value: string } }) => change(event.target.value) };
        switch (kind) {
          case "const": return <input {...props} name={name} value={named(param, schema.const)} readOnly />;
          case "boolean": return <input {...props} name={name} type="checkbox" checked={held === true} onChange={(event) => change(event.target.checked)} />;
          case "choice": return <select {...typed}>{text === "-1" && <option value="-1">Choose…</option>}{choicesOf(param).map((choice, at) => <option key={at} value={at}>{named(param, choice)}</option>)}</select>;
          case "number": return <input {...typed} type="number" step={typeOf(param) === "integer" ? 1 : "any"} min={schema.minimum} max={schema.maximum} />;
          case "lines": case "json": return <textarea {...typed} rows={Math.min(10, Math.max(3, text.split("\n").length))} spellCheck={false} />;
          case "multiline": return <textarea {...typed} rows={5} maxLength={schema.maxLength} />;
          case "time": return <input {...typed} type="datetime-local" step={1} />;
          case "text": {
            const type = schema.writeOnly || schema.format === "password" || SECRET.test(name) ? "password" : ({ date: "date", time: "time", email: "email", uri: "url" } as Record<string, string>)[schema.format ?? ""] ?? "text";
            const list = schema.examples?.length ? `${props.id}-examples` : undefined;
            return <><input {...typed} type={type} maxLength={schema.maxLength} list={list} autoComplete={type === "password" ? "new-password" : "off"} />{list && <datalist id={list}>{schema.examples?.map((one) => <option key={String(one)} value={String(one)}>{named(param, one)}</option>)}</datalist>}</>;
          }
        }
      }}
    </Field>
  );
}
