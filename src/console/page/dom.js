// Elements described as values, and a document that is made to match them: what the user is typing,
// scrolling and pointing at stays where it is while figures change around it.

const SVG = "http://www.w3.org/2000/svg";
// Properties that show what a user does; an attribute would only be what they begin with.
const LIVE = new Set(["value", "checked", "selected", "open", "disabled", "indeterminate"]);

export function h(tag, props, ...children) {
  const kept = children.flat(Infinity).filter((it) => it !== null && it !== undefined && it !== false && it !== true);
  return { tag, props: props ?? {}, children: kept };
}

/** Makes the children of an element match. */
export function render(parent, nodes) {
  const wanted = (Array.isArray(nodes) ? nodes : [nodes]).flat(Infinity).filter((it) => it || it === 0);
  children(parent, wanted, parent.namespaceURI === SVG);
}

function children(parent, wanted, svg) {
  const keyed = new Map();
  for (const node of parent.childNodes) {
    if (node.described?.props.key !== undefined) keyed.set(node.described.props.key, node);
  }
  let at = parent.firstChild;
  for (const want of wanted) {
    const key = want.props?.key;
    let node = key !== undefined ? keyed.get(key) : at;
    if (key === undefined && node?.described?.props.key !== undefined) node = null;
    if (node && fits(node, want)) {
      if (node === at) at = at.nextSibling;
      else parent.insertBefore(node, at);
      if (key !== undefined) keyed.delete(key);
      update(node, want, svg);
    } else {
      parent.insertBefore(make(want, svg), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    parent.removeChild(at);
    at = next;
  }
}

function fits(node, want) {
  if (typeof want !== "object") return node.nodeType === Node.TEXT_NODE;
  return node.described?.tag === want.tag && node.described.props.key === want.props.key;
}

function make(want, svg) {
  if (typeof want !== "object") return document.createTextNode(String(want));
  const isSvg = svg || want.tag === "svg";
  const node = isSvg ? document.createElementNS(SVG, want.tag) : document.createElement(want.tag);
  // A select's value is one of its options.
  children(node, want.children, isSvg);
  for (const [name, value] of Object.entries(want.props)) set(node, name, undefined, value);
  node.described = want;
  want.props.created?.(node);
  return node;
}

function update(node, want, svg) {
  if (typeof want !== "object") {
    const text = String(want);
    if (node.data !== text) node.data = text;
    return;
  }
  const before = node.described.props;
  node.described = want;
  if (!want.props.foreign) children(node, want.children, svg || want.tag === "svg");
  for (const [name, value] of Object.entries(want.props)) set(node, name, before[name], value);
  for (const name of Object.keys(before)) if (!(name in want.props)) set(node, name, before[name], undefined);
}

function set(node, name, before, value) {
  if (before === value || name === "key" || name === "created" || name === "foreign") return;
  if (name.startsWith("on")) {
    node[name.toLowerCase()] = value ?? null;
  } else if (name === "style") {
    for (const property of Object.keys(before ?? {})) if (!(property in (value ?? {}))) node.style.removeProperty(property);
    for (const [property, text] of Object.entries(value ?? {})) node.style.setProperty(property, text);
  } else if (LIVE.has(name)) {
    if (node[name] !== value) node[name] = value ?? false;
  } else if (value === undefined || value === null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}
