// Tables of a text and its numbers.

function cell(text, className) {
  const made = document.createElement('td');
  made.textContent = text;
  made.className = className;
  return made;
}

export function fillTable(body, rows, textsOf) {
  const made = rows.map((row) => {
    const [text, ...numbers] = textsOf(row);
    const line = document.createElement('tr');
    const name = cell(text, 'text');
    name.title = text;
    line.append(name, ...numbers.map((value) => cell(value, 'number')));
    return line;
  });
  if (!made.length) {
    const line = document.createElement('tr');
    const nothing = cell('Nothing yet today', 'none');
    nothing.colSpan = 3;
    line.append(nothing);
    made.push(line);
  }
  body.replaceChildren(...made);
}
