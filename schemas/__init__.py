"""What a row must be: pandera schemas, and nothing else.

``conversion`` is the canonical conversion; each ``<destination>`` says what that vendor needs beyond it. Rules are
pandera checks whose name is the reason code and whose description is the sentence a person reads (see `rules`).
"""
