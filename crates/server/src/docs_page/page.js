"use strict";
// All text from the server is put into the page as text nodes, never as markup.

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

const headers = (extra = {}) => {
  const token = document.getElementById("token").value.trim();
  return token ? { ...extra, authorization: `Bearer ${token}` } : extra;
};

const resolve = (spec, schema) => {
  const name = schema?.$ref?.split("/").pop();
  return name ? spec.components.schemas[name] ?? {} : schema ?? {};
};

// The type of a field in a few words.
const typeOf = (spec, schema, depth = 0) => {
  if (schema?.$ref) {
    const target = resolve(spec, schema);
    return target.enum ? target.enum.join(" | ") : schema.$ref.split("/").pop();
  }
  if (schema?.enum) return schema.enum.join(" | ");
  const parts = schema?.anyOf ?? schema?.oneOf;
  if (parts && depth < 3) return parts.map((part) => typeOf(spec, part, depth + 1)).join(" | ");
  if (schema?.type === "array") return `list of ${typeOf(spec, schema.items, depth + 1)}`;
  return [schema?.type ?? "any"].flat().join(" | ");
};

// A body to start from: the required fields only.
const SAMPLES = {
  model: "MODEL", model_id: "MODEL", input: ["Hello"], contents: ["Hello"], prompt: "Once upon a time", content: "Once upon a time",
  messages: [{ role: "user", content: "Hello!" }],
};
const sampleBody = (request) => {
  const body = {};
  for (const name of request.required ?? []) body[name] = SAMPLES[name] ?? "";
  return JSON.stringify(body, null, 2);
};

const fields = (spec, request) => {
  const rows = Object.entries(request.properties ?? {}).map(([name, schema]) => element("tr", {},
    element("td", {}, element("code", {}, name), request.required?.includes(name) ? " (required)" : ""),
    element("td", {}, typeOf(spec, schema)),
    element("td", {}, schema.description ?? resolve(spec, schema).description ?? "")));
  if (!rows.length) return null;
  return element("table", {}, element("tr", {}, element("th", {}, "Field"), element("th", {}, "Type"), element("th", {}, "Meaning")), ...rows);
};

const show = async (response, output) => {
  output.textContent = `${response.status} ${response.statusText}\n\n`;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const piece = decoder.decode(value, { stream: true });
    text += piece;
    output.append(piece);
  }
  if ((response.headers.get("content-type") ?? "").includes("json")) {
    try { output.textContent = `${response.status} ${response.statusText}\n\n${JSON.stringify(JSON.parse(text), null, 2)}`; }
    catch { /* The text is shown as it came. */ }
  }
};

const form = (spec, path, method, operation) => {
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  const request = resolve(spec, body);
  const inputs = (operation.parameters ?? []).map((parameter) => [parameter, element("input", { "aria-label": parameter.name })]);
  const area = body ? element("textarea", { spellcheck: "false", "aria-label": "Body" }) : null;
  if (area) area.value = sampleBody(request);
  const output = element("pre", { hidden: "" });
  const send = element("button", {}, "Send");
  send.addEventListener("click", async () => {
    send.disabled = true;
    output.hidden = false;
    output.textContent = "...";
    try {
      let url = path;
      const query = new URLSearchParams();
      for (const [parameter, input] of inputs) {
        if (parameter.in === "path") {
          const value = input.value.split("/").map(encodeURIComponent).join("/");
          url = url.replace(`{${parameter.name}}`, () => value);
        } else if (input.value) query.set(parameter.name, input.value);
      }
      if (query.size) url += `?${query}`;
      const response = await fetch(url, {
        method: method.toUpperCase(),
        headers: headers(area ? { "content-type": "application/json" } : {}),
        body: area ? area.value : undefined,
      });
      await show(response, output);
    } catch (error) {
      output.textContent = String(error);
    } finally {
      send.disabled = false;
    }
  });
  const parameters = inputs.length ? element("table", {}, ...inputs.map(([parameter, input]) => element("tr", {},
    element("td", {}, element("code", {}, parameter.name), ` (${parameter.in})`), element("td", {}, input), element("td", {}, parameter.description ?? "")))) : null;
  return element("div", { class: "inside" }, parameters, body ? fields(spec, request) : null, area, send, output);
};

const card = (spec, path, method, operation) => {
  const served = Boolean(operation.responses?.["200"]);
  const details = element("details", { class: served ? null : "reserved", "data-text": `${method} ${path} ${operation.summary}`.toLowerCase() },
    element("summary", {}, element("span", { class: `method ${method}` }, method.toUpperCase()), element("code", {}, path),
      element("span", { class: "said" }, operation.summary ?? "")));
  details.addEventListener("toggle", () => {
    if (details.open && served && details.children.length === 1) details.append(form(spec, path, method, operation));
  });
  return details;
};

const filter = () => {
  const wanted = document.getElementById("filter").value.trim().toLowerCase();
  for (const section of document.querySelectorAll("main section")) {
    let visible = 0;
    for (const details of section.querySelectorAll("details")) {
      details.hidden = wanted !== "" && !details.dataset.text.includes(wanted);
      visible += details.hidden ? 0 : 1;
    }
    section.hidden = visible === 0;
  }
};

const load = async () => {
  const about = document.getElementById("about");
  const response = await fetch("/openapi.json", { headers: headers() });
  if (!response.ok) {
    about.textContent = response.status === 401 ? "Give a bearer token to see the endpoints." : `The endpoints cannot be loaded: ${response.status}.`;
    return;
  }
  const spec = await response.json();
  const groups = new Map();
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const group = operation.tags[0];
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(card(spec, path, method, operation));
    }
  }
  about.textContent = `${spec.info.summary} Version ${spec.info.version}.`;
  document.getElementById("groups").replaceChildren(...[...groups].map(([group, cards]) =>
    element("section", {}, element("h2", {}, group.replaceAll("_", " ")), ...cards)));
  filter();
};

document.getElementById("filter").addEventListener("input", filter);
document.getElementById("token").addEventListener("change", load);
load();
