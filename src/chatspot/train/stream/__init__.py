"""What a run reads: pictures with dialogues, encoded, packed into rows and dealt to steps; features of their views."""
