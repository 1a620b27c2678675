// The canvas's own style, inside its shadow root. A page may set --spot-canvas (ground), --spot-accent (focus),
// --spot-surface and --spot-text (hints, name field) and --spot-font.

export const STYLE = `
:host, .stage { display: block; position: relative; width: 100%; height: 100%; min-width: 0; min-height: 0; }
.stage {
  --ground: var(--spot-canvas, #e8e9ed); --accent: var(--spot-accent, #0b62d6);
  --surface: var(--spot-surface, #ffffff); --text: var(--spot-text, #1b1d22);
  overflow: hidden; background: var(--ground); color: var(--text);
  font: 14px/1.4 var(--spot-font, system-ui, sans-serif);
  user-select: none; -webkit-user-select: none; -webkit-touch-callout: none; -webkit-tap-highlight-color: transparent;
}
canvas, .pad { position: absolute; inset: 0; width: 100%; height: 100%; }
.pad { touch-action: none; outline: none; }
.pad:focus-visible { box-shadow: inset 0 0 0 2px var(--accent), inset 0 0 0 4px var(--surface); }
.unseen {
  position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0; border: 0; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap;
}
.hint {
  position: absolute; left: 50%; bottom: 12px; max-width: calc(100% - 24px); box-sizing: border-box; margin: 0;
  padding: 7px 14px; border-radius: 18px; transform: translate(-50%, 8px); opacity: 0; visibility: hidden;
  pointer-events: none; background: #17191ee6; color: #fff; font-size: 13px; text-align: center; text-wrap: balance;
  transition: opacity .16s, transform .16s, visibility .16s;
}
.hint.shown { opacity: 1; transform: translate(-50%, 0); visibility: visible; }
.name {
  position: absolute; width: 11em; max-width: calc(100% - 16px); box-sizing: border-box; padding: 5px 9px; margin: 0;
  border: 2px solid var(--accent); border-radius: 8px; background: var(--surface); color: var(--text); font: inherit;
  box-shadow: 0 4px 16px #0005; outline: none; user-select: text; -webkit-user-select: text;
}
@media (prefers-color-scheme: dark) {
  .stage {
    --ground: var(--spot-canvas, #17181c); --accent: var(--spot-accent, #7ab2ff);
    --surface: var(--spot-surface, #26282e); --text: var(--spot-text, #eceef2);
  }
}
@media (pointer: coarse) { .name { font-size: 16px; } }
@media (prefers-reduced-motion: reduce) { .hint { transition: none; } }
`;
