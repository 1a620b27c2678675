"""A server with OpenAI's chat interface, regions included: ``chatspot serve``.

::

    connection -> front (host, key, errors) -> exchange -> body in, within limits
                                                        -> reading (a thread): JSON -> conversation -> prepared request
                                                        -> scheduler (a thread): the engine's running batch
                                                        -> JSON or a stream of events out
"""
