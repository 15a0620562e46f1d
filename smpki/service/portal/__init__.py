"""The portal: pages for people, in German and English, over what the desk and the accounts do."""
