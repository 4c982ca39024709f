"""A local Supabase, a local WPP Platform, and the functions in front of them, on real ports. Never shipped.

__main__   `run`, `demo`, `exec`: what a person or a script starts
local      all of it behind one address, with a user who is signed in
stack      the two systems alone, as tests use them
supabase   the gateway, Auth, and PostgREST on a database
platform   clients, their keys and tokens, and WhatsApp sessions
web        the HTTP server of both; `faults` is how it misbehaves on demand, `controls` how that is asked for over HTTP
processes  the functions, each under functions-framework or all under the product's server
code, trial, watcher, reloader: changed code is tried before it serves
page, docs what a browser gets; terminal what a terminal shows
"""
