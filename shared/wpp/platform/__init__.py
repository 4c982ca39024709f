"""WPP Platform, the WhatsApp gateway: the port of `wpp.ts`."""
