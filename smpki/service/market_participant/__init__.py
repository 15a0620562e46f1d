"""An external market participant (externer Marktteilnehmer, EMT): takes deliveries of readings from gateways."""
