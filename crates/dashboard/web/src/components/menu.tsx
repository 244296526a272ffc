import { Menu as Base } from "@base-ui/react/menu";
import type { ReactNode } from "react";

/** Where menus open: what is outside of every landmark is not found by those who go from one to the next. */
export const landmark = { get current() { return document.getElementById("main"); } };

export interface Item { name: string; hint?: string; checked?: boolean; disabled?: boolean; act: () => void }

export function Menu({ label, className, children, items }: { label?: string; className?: string; children: ReactNode; items: Item[] }) {
  return (
    <Base.Root>
      <Base.Trigger className={className} {...(label ? { "aria-label": label } : {})}>{children}</Base.Trigger>
      <Base.Portal container={landmark}>
        <Base.Positioner align="end" sideOffset={4}>
          <Base.Popup className="menu">
            {items.map((item) => (
              <Base.Item key={item.name} disabled={item.disabled ?? false} onClick={item.act}>
                <span>{item.checked === undefined ? "" : item.checked ? "● " : "○ "}{item.name}</span>
                {item.hint && <span className="quiet">{item.hint}</span>}
              </Base.Item>
            ))}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}

/** A button for what one wants nearly always, and a menu for the rest. */
export function SplitButton({ name, act, items, busy }: { name: string; act: () => void; items: Item[]; busy?: boolean }) {
  return (
    <span className="split">
      <button type="button" className="primary" disabled={busy ?? false} onClick={act}>{name}</button>
      <Menu className="primary" label="More ways to run again" items={items}>▾</Menu>
    </span>
  );
}
