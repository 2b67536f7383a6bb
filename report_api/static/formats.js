// Numbers as people read them; every value of the API is text.

const whole = new Intl.NumberFormat();
const share = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 });

export const number = (value) => whole.format(Number(value));
export const percent = (value) => share.format(Number(value));

export function currency(value, code) {
  return new Intl.NumberFormat(undefined, { style: 'currency', currency: code })
    .format(Number(value));
}
