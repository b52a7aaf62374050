// A table whose rows come and go: what is there is changed in place, and only where it differs.
// Knows nothing of what the rows are. The rule: everything from outside is written as text.

/**
 * A table body that shows rows.
 *
 * A column is { key, label, numeric, order, fill(cell, row) }: `fill` writes a cell and is called again with every
 * news of the row. `order` is the name by which the rows can be sorted; a column without it cannot be.
 */
export class Table {
  constructor(section, columns, onSort) {
    this.body = section.querySelector("tbody");
    this.heads = [...section.querySelectorAll("thead th")];
    this.columns = columns;
    this.rows = new Map();
    this.onSort = onSort;
    this.isWritten = true;
    for (const [role, elements] of [["table", "table"], ["rowgroup", "thead, tbody"], ["row", "thead tr"], ["columnheader", "th"]]) {
      section.querySelectorAll(elements).forEach((element) => element.setAttribute("role", role));
    }
    columns.forEach((column, index) => {
      if (column.order) this.#makeSortable(this.heads[index], column);
    });
  }

  #makeSortable(head, column) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = head.textContent;
    button.addEventListener("click", () => this.onSort(column.order));
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
  }

  /** Marks the column that the rows are sorted by. */
  sorted(order, isDescending) {
    this.columns.forEach((column, index) => {
      if (!column.order) return;
      const says = column.order !== order ? "none" : isDescending ? "descending" : "ascending";
      if (this.heads[index].getAttribute("aria-sort") !== says) this.heads[index].setAttribute("aria-sort", says);
    });
  }

  /** Shows these rows in this order; `level` marks those that need a hand. */
  show(rows, keyOf, levelOf = () => undefined) {
    if (this.isWritten) {
      // What the server wrote into the page stays until there is something newer.
      this.body.replaceChildren();
      this.isWritten = false;
    }
    const left = new Set(this.rows.keys());
    let before = null;
    for (const row of rows) {
      const key = keyOf(row);
      left.delete(key);
      let shown = this.rows.get(key);
      if (!shown) {
        shown = this.#make();
        this.rows.set(key, shown);
      }
      this.columns.forEach((column, index) => column.fill(shown.cells[index], row));
      attribute(shown.element, "data-level", levelOf(row));
      const place = before ? before.nextSibling : this.body.firstChild;
      if (place !== shown.element) this.body.insertBefore(shown.element, place);
      before = shown.element;
    }
    for (const key of left) this.#drop(key);
  }

  #make() {
    const element = document.createElement("tr");
    element.setAttribute("role", "row");
    const cells = this.columns.map((column) => {
      const cell = document.createElement("td");
      cell.setAttribute("role", "cell");
      if (column.numeric) cell.className = "number";
      if (column.label) cell.dataset.label = column.label;
      return cell;
    });
    element.append(...cells);
    return { element, cells };
  }

  #drop(key) {
    const { element } = this.rows.get(key);
    // Who was about to use a button of a row that goes is not thrown back to the top of the page.
    if (element.contains(document.activeElement)) {
      const next = element.nextElementSibling ?? element.previousElementSibling;
      (next?.querySelector("button") ?? this.heads.map((head) => head.querySelector("button")).find(Boolean))?.focus();
    }
    element.remove();
    this.rows.delete(key);
  }
}

/** Writes a text where it differs. */
export function text(element, value) {
  const wanted = value ?? "";
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Sets an attribute where it differs; without a value it goes. */
export function attribute(element, name, value) {
  if (value === undefined || value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
}

/** Makes the children of a cell once, and answers them by name ever after. */
export function parts(cell, make) {
  if (!cell.parts) {
    cell.parts = make();
    cell.replaceChildren(...Object.values(cell.parts).filter((part) => !part.parentNode));
  }
  return cell.parts;
}

/** An element with a class and a text. */
export function element(name, className, value) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (value !== undefined) made.textContent = value;
  return made;
}

/** A bar that shows a part of a whole. */
export function bar() {
  const made = element("span", "bar");
  made.setAttribute("aria-hidden", "true");
  made.append(element("i"));
  return made;
}

/** Fills a bar; `level` says whether it needs a hand. */
export function fillBar(made, part, level) {
  // Scaled and not resized: nothing else has to be laid out for it.
  const scale = Math.round(Math.min(1, Math.max(0, part || 0)) * 100) / 100;
  if (made.scale !== scale) {
    made.scale = scale;
    made.firstChild.style.transform = `scaleX(${scale})`;
  }
  attribute(made, "data-level", level === "warn" || level === "bad" ? level : undefined);
}
