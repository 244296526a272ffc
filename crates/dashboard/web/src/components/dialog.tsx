import { Dialog as Base } from "@base-ui/react/dialog";
import { type ReactNode, useRef } from "react";

/** What one wants to type in first; without it the first thing that a key reaches has the focus, which is Close. */
const FIRST = "header ~ * :is(input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea):not([readonly], :disabled)";

export function Dialog({ open, close, title, children, wide }: { open: boolean; close: () => void; title: string; children: ReactNode; wide?: boolean }) {
  const popup = useRef<HTMLDivElement>(null);
  return (
    <Base.Root open={open} onOpenChange={(next) => { if (!next) close(); }}>
      <Base.Portal>
        <Base.Backdrop className="backdrop" />
        <Base.Popup ref={popup} className={wide ? "dialog wide" : "dialog"} initialFocus={() => popup.current?.querySelector<HTMLElement>(FIRST) ?? true}>
          <header><Base.Title>{title}</Base.Title><Base.Close className="plain" aria-label="Close">×</Base.Close></header>
          {children}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
