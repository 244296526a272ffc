import { Dialog as Base } from "@base-ui/react/dialog";
import type { ReactNode } from "react";

export function Dialog({ open, close, title, children, wide }: { open: boolean; close: () => void; title: string; children: ReactNode; wide?: boolean }) {
  return (
    <Base.Root open={open} onOpenChange={(next) => { if (!next) close(); }}>
      <Base.Portal>
        <Base.Backdrop className="backdrop" />
        <Base.Popup className={wide ? "dialog wide" : "dialog"}>
          <header><Base.Title>{title}</Base.Title><Base.Close className="plain" aria-label="Close">×</Base.Close></header>
          {children}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
